"""WSYue-ASR-eval: the benchmark of WenetSpeech-Yue, Cantonese, partly mixed with English, wav. ASLP-lab/WSYue-ASR-eval
on Hugging Face, CC BY-NC 4.0.

Layout: Short/content.txt ("wav TAB age TAB emotion TAB gender TAB text") with Short/wav.tar.gz, which holds wav_/; and
Long/TextGrid.tar.gz with Long/wav.tar.gz, which hold TextGrid/ and wav/. The archives are to be unpacked where they
lie. SRC is the folder that holds Short/ and Long/.
Quirks: the text of a long recording stands in the intervals of the tier 文本 of its TextGrid (long format of Praat,
UTF-8 or UTF-16, "" for a quote), which are joined; the other tiers hold speakers and the like.
"""

import re

from espnet_llmasr.data.formats.generic import audio_files, strip_suffix
from espnet_llmasr.data.formats.mandarin import missing
from espnet_llmasr.data.formats.readers import lines
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

UNPACK = "for archive in *.tar.gz; do tar xzf $archive; done"
TIER = "文本"
BROKEN = {"short": "broken_line", "long": "broken_textgrid"}
_ITEM = re.compile(r"^\s*item \[\d+\]:", re.MULTILINE)
_NAME, _TEXT = (re.compile(rf'^\s*{key} = "((?:[^"]|"")*)"', re.MULTILINE) for key in ("name", "text"))


def read(source: Source) -> Utterances:
    folder = source.need(source.part.title())
    needed = [("wav", "wav_")] if source.part == "short" else [("wav", "wav_"), ("TextGrid",)]
    for names in needed:
        if not any((folder / name).is_dir() for name in names):
            raise missing(folder, names[0], "*.tar.gz", UNPACK)
    texts = content(folder / "content.txt") if source.part == "short" else textgrids(folder / "TextGrid")
    wavs = audio_files(folder)
    for name, text in texts:
        wav = wavs.pop(name, folder / f"{name}.wav")
        if text is None:
            source.drop(name, BROKEN[source.part])
        else:
            yield Utterance(name, str(wav), text)
    for name in wavs:
        source.drop(name, "no_text")


def content(path):
    """(id, text) of each line; the text is None where there are not five columns."""
    for line in lines(path):
        cells = line.split("\t")
        yield strip_suffix(cells[0].strip()), cells[4] if len(cells) == 5 else None


def textgrids(folder):
    """(id, text) of each TextGrid; the text is None if it cannot be read."""
    for path in sorted(folder.rglob("*.TextGrid")):
        yield path.stem, spoken(path.read_bytes())


def spoken(textgrid):
    """The texts of the tier, joined by blanks; None if there is no such tier."""
    encoding = "utf-16" if textgrid[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        tiers = _ITEM.split(textgrid.decode(encoding))
    except UnicodeDecodeError:
        return None
    for tier in tiers[1:]:
        name = _NAME.search(tier)
        if name and name[1].strip() == TIER:
            return " ".join(" ".join(_TEXT.findall(tier)).replace('""', '"').split())
    return None


PARTS = {"short": "7060 utterances", "long": "370 recordings"}
CORPUS = Corpus(
    read, "yue", PARTS, "CC BY-NC 4.0", "https://huggingface.co/datasets/ASLP-lab/WSYue-ASR-eval", benchmark=True
)
