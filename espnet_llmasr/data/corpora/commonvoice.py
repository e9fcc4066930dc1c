"""Common Voice 15: English and Mandarin sentences read by volunteers, mp3 at 32 or 48 kHz. Mozilla, CC0.

Layout: cv-corpus-15.0-2023-09-08/{en,zh-CN}/{train,dev,test,validated,other}.tsv with clips/NAME.mp3. SRC is
cv-corpus-.../ or the folder that holds it.
Quirks: columns differ between releases (later ones have sentence_id and sentence_domain), so they are found by name.
Quote characters are text and often unbalanced. Case and punctuation, and zh-CN holds English words and digits.
client_id has 128 hexadecimal digits; the first 16 name the speaker. clips/ serves all parts at once, so audio without
text is not counted.
"""

from espnet_llmasr.data.formats.readers import table
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

SPLITS = {
    "train": "for training",
    "dev": "for validation",
    "test": "the benchmark",
    "validated": "train, dev, test, and more readings of the same sentences",
    "other": "not yet confirmed by other volunteers",
}
PARTS = {f"{locale}-{split}": what for locale in ("en", "zh-CN") for split, what in SPLITS.items()}
COLUMNS = ("client_id", "path", "sentence")


def read(source: Source) -> Utterances:
    locale, split = source.part.rsplit("-", 1)
    tables = source.find(f"{locale}/{split}.tsv", f"cv-corpus-*/{locale}/{split}.tsv")
    if len(tables) > 1:
        raise ValueError(
            f"{source.path} holds several releases: give one of {', '.join(str(t.parents[1]) for t in tables)}"
        )
    lang = locale.partition("-")[0]
    for row in table(source, tables[0], columns=COLUMNS):
        clip = row["path"].removesuffix(".mp3")
        audio = tables[0].parent / "clips" / f"{clip}.mp3"
        yield Utterance(clip, str(audio), row["sentence"], row["client_id"][:16], lang)


CORPUS = Corpus(read, "en, zh", PARTS, "CC0", "https://commonvoice.mozilla.org/datasets")
