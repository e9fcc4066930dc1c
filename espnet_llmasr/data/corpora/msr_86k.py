"""MSR-86K, English: 10 K h of YouTube speech, 16 kHz wav. HF Alex-Song/MSR-86K, on request, CC BY-NC-ND 4.0.

Layout: not in any public text, so this is a generic reader. SRC holds JSON lines files (*.jsonl or *.jsonl.gz, at any
depth; --set files=PATTERN picks others), an object for each utterance; --set id=, audio=, text=, duration= (seconds)
and speaker= say how the fields are called ("a.b" is field b of object a); audio paths are relative to SRC. If yours is
other, write one JSON line for each utterance.
Quirks: the text has no punctuation.
"""

from espnet_llmasr.data.formats.generic import json_manifest
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterances


def read(
    source: Source,
    files: str = "**/*.jsonl*",
    id: str = "id",
    audio: str = "audio",
    text: str = "text",
    duration: str = "",
    speaker: str = "",
) -> Utterances:
    fields = dict(id=id, audio=audio, text=text, duration=duration, speaker=speaker)
    for path in source.share(source.find(files)):
        yield from json_manifest(source, path, fields, source.path)


PARTS = {"en": "10 K h"}
CORPUS = Corpus(read, "en", PARTS, "CC BY-NC-ND 4.0, on request", "https://huggingface.co/datasets/Alex-Song/MSR-86K")
