"""People's Speech: 30 K h of English from the Internet Archive. HF MLCommons/peoples_speech, CC BY 4.0 and (the parts
_sa) CC BY-SA 4.0.

Layout: clean/train-00000-of-00804.parquet with the columns id, audio {bytes, path}, duration_ms, text; likewise the
other parts. SRC is the folder that holds them. (The older release, tars of flac with clean.json, is not read.)
Quirks: lower case without punctuation; no speakers; ids are made of paths and may hold blanks and slashes; the labels
are noisy, most of all in dirty and dirty_sa, so stage 2 drops and counts lines with more labels than frames.
"""

from espnet_llmasr.data.formats.readers import parquet
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, Utterances


def read(source: Source) -> Utterances:
    files = source.find(f"{source.part}/*.parquet", f"data/{source.part}/*.parquet")
    for row in parquet(source, files, ["id", "duration_ms", "text"], lambda row: row["id"]):
        duration = row["duration_ms"] and float(row["duration_ms"]) / 1000
        yield Utterance(row["id"], row["audio"], row["text"] or "", duration=duration)


PARTS = {"clean": "CC BY", "clean_sa": "CC BY-SA", "dirty": "CC BY, noisier labels"}
PARTS |= {"dirty_sa": "CC BY-SA, noisier labels", "validation": "development", "test": "test"}
CORPUS = Corpus(
    read, "en", PARTS, "CC BY 4.0, CC BY-SA 4.0", "https://huggingface.co/datasets/MLCommons/peoples_speech"
)
