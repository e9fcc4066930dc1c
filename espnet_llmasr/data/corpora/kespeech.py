"""KeSpeech: 1542 h of read Mandarin and eight subdialects, 27,237 speakers in 34 cities, 16 kHz wav. Shared by its
authors, not for commerce, not to be passed on.

Layout: Tasks/ASR/{train_phase1,train_phase2,dev_phase1,dev_phase2,test}/{wav.scp,text,utt2spk,utt2subdialect}; paths in
wav.scp are relative to KeSpeech/ (Audio/...), which is SRC. Copies of the test set on Hugging Face are parquet files,
data/*.parquet with ID, Text, Dialect and audio (19,723 rows); they serve if there is no Tasks/.
Quirks: <SPOKEN_NOISE> stands for speech that was not written down, so such lines are dropped (spoken_noise); the
subdialect becomes the language: zh for Mandarin, otherwise zh-beijing, zh-ji-lu, ... Both phases may share speakers.
"""

import re

from espnet_llmasr.data.formats.mandarin import complete
from espnet_llmasr.data.formats.readers import parquet
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

PARTS = {"train_phase1": "training", "train_phase2": "training"}
PARTS |= {"dev_phase1": "development", "dev_phase2": "development", "test": "19,723 utterances"}
TABLES = {"wav": "wav.scp", "text": "text", "speaker": "utt2spk", "dialect": "utt2subdialect"}
SUBDIALECTS = "Beijing Ji-Lu Jiang-Huai Jiao-Liao Lan-Yin Northeastern Southwestern Zhongyuan".split()
NOISE = "<SPOKEN_NOISE>"


def letters(name):
    """Spellings differ in signs and case: Ji-Lu, JiLu, Jilu."""
    return re.sub("[^a-z]", "", name.lower())


LANGUAGES = {"mandarin": "zh", **{letters(name): f"zh-{name.lower()}" for name in SUBDIALECTS}}


def read(source: Source) -> Utterances:
    for name, audio, text, speaker, dialect in rows(source):
        if NOISE in text:
            source.drop(name, "spoken_noise")
        elif letters(dialect) not in LANGUAGES:
            source.drop(name, "unknown_dialect")
        else:
            yield Utterance(name, audio, text, speaker=speaker, lang=LANGUAGES[letters(dialect)])


def rows(source):
    """(id, audio, text, speaker, subdialect)"""
    if source.part == "test" and not (source.path / "Tasks").is_dir():
        yield from parquet_rows(source)
        return
    folder = source.need(f"Tasks/ASR/{source.part}")
    for name, (path, *rest) in complete(source, {key: folder / table for key, table in TABLES.items()}):
        yield name, str(source.path / path), *rest


def parquet_rows(source):
    """The speaker is the beginning of the id, as in "1000021_a9b1f7d2"."""
    files = source.find("data/test*.parquet", "data/*.parquet", "*.parquet")
    for row in parquet(source, files, ["ID", "Text", "Dialect"], lambda row: row["ID"] or ""):
        name = row["ID"] or ""
        yield name, row["audio"], row["Text"] or "", name.partition("_")[0], row["Dialect"] or ""


CORPUS = Corpus(read, "zh", PARTS, "non-commercial, no redistribution", "https://github.com/KeSpeech/KeSpeech")
