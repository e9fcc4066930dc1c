"""ASCEND: 10.6 h of spontaneous Mandarin-English conversation in Hong Kong, 16 kHz wav. HF CAiRE/ASCEND, CC BY-SA 4.0.

Layout: main/{train,validation,test}-00000-of-00001.parquet with the columns id, path, audio {bytes, path},
transcription, duration (seconds), language, original_speaker_id, session_id, topic. SRC is the folder that holds
main/, or main/ itself.
Quirks: language is zh, en or mixed (here zh-en); speakers are whole numbers, 0 is one; tags like [UNK] go, lines of
nothing else are dropped (only_tags).
"""

import re

from espnet_llmasr.data.formats.readers import parquet
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances

LANGUAGES = {"zh": "zh", "en": "en", "mixed": "zh-en"}
COLUMNS = ["id", "transcription", "duration", "language", "original_speaker_id"]
_TAGS = re.compile(r"\[[A-Z_]+\]")


def read(source: Source) -> Utterances:
    pattern = f"{source.part}-*.parquet"
    for row in parquet(source, source.find(f"main/{pattern}", pattern), COLUMNS, lambda row: row["id"]):
        written, lang = row["transcription"] or "", LANGUAGES.get(row["language"])
        text = " ".join(_TAGS.sub(" ", written).split())
        speaker = "" if row["original_speaker_id"] is None else str(row["original_speaker_id"])
        if lang is None:
            source.drop(str(row["id"]), "unknown_language")
        elif written and not text:
            source.drop(str(row["id"]), "only_tags")
        else:
            yield Utterance(str(row["id"]), row["audio"], text, speaker, lang, duration=row["duration"])


PARTS = {"train": "9869 utterances", "validation": "1130 utterances", "test": "1315 utterances"}
CORPUS = Corpus(read, "zh-en", PARTS, "CC BY-SA 4.0", "https://huggingface.co/datasets/CAiRE/ASCEND")
