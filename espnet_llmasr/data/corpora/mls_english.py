"""MLS English: 44.7 K h of read audiobooks, 16 kHz. OpenSLR 94, CC BY 4.0.

Layout: mls_english/{train,dev,test}/ with transcripts.txt ("16_10_000001<TAB>text") and audio/SPEAKER/BOOK/ID.flac;
the smaller edition mls_english_opus has ID.opus. train/limited_supervision/ lists the utterances of the two small
subsets. SRC is one of the two trees or the folder that holds them.
Quirks: where both trees lie there only the flac one is read, and a part is never mixed from both. Lower case without
punctuation; apostrophes are kept. Speaker numbers have one to five digits, so ids do not sort like numbers.
transcripts.txt of train has 10.8 M lines and is streamed; audio that it does not name is not looked for.
"""

from pathlib import Path

from espnet_llmasr.data.formats.readers import key_values, lines
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

PARTS = {"train": "44,659 h", "dev": "15.8 h", "test": "15.6 h"}
PARTS |= {"limited-9h": "9 h of train", "limited-1h": "1 h of train, none of it in limited-9h"}
HANDLES = {"limited-9h": "9hr/handles.txt", "limited-1h": "1hr/*/handles.txt"}


def read(source: Source) -> Utterances:
    split = "train" if source.part in HANDLES else source.part
    folder = source.need(f"mls_english/{split}", f"mls_english_opus/{split}", split)
    suffix = audio_suffix(folder / "audio")
    wanted = handles(folder / "limited_supervision", source.part)
    for name, text in key_values(folder / "transcripts.txt"):
        if wanted is not None:
            if name not in wanted:
                continue
            wanted.remove(name)
        speaker, book = (name.split("_") + [""])[:2]
        yield Utterance(name, str(folder / "audio" / speaker / book / f"{name}{suffix}"), text, speaker=speaker)
    for name in sorted(wanted or ()):
        source.drop(name, "no_text")


def handles(folder: Path, part: str):
    """Ids of a limited part (at most some 2,500); None for the others, which take everything."""
    if part not in HANDLES:
        return None
    return {line.strip() for path in folder.glob(HANDLES[part]) for line in lines(path)}


def audio_suffix(folder: Path) -> str:
    """.flac or .opus, whichever the first book holds; flac if it holds both. Raises ValueError without such audio."""
    for book in folder.glob("*/*"):
        for suffix in (".flac", ".opus"):
            if any(book.glob(f"*{suffix}")):
                return suffix
    raise ValueError(f"{folder} holds no SPEAKER/BOOK/*.flac and no *.opus: unpack the whole archive")


CORPUS = Corpus(read, "en", PARTS, "CC BY 4.0", "https://www.openslr.org/94")
