"""What GigaSpeech and WenetSpeech share: long recordings, whose segments stand in one JSON file of many gigabytes."""

from pathlib import Path
from typing import Iterator

from corpora.base import Source, Utterance
from corpora.readers import json_items


def segments(source: Source, manifest: Path, text: str) -> Iterator[Utterance]:
    """Segments of the subset that is called like the part, in braces or not; one recording at a time is in memory.

    `text` is the field of the transcript. A segment that lacks a field is dropped as missing_field.

    Raises:
        ValueError: broken JSON.
    """
    subset = source.part.upper()
    for audio in json_items(manifest, "audios.item"):
        for segment in audio.get("segments", ()):
            if subset not in (name.strip("{}").upper() for name in segment.get("subsets", ())):
                continue
            try:
                times = dict(start=float(segment["begin_time"]), end=float(segment["end_time"]))
                path = str(manifest.parent / audio["path"])
                speaker = segment.get("speaker", "")
                yield Utterance(segment["sid"], path, segment[text], speaker, recording=audio["aid"], **times)
            except KeyError:
                source.drop(str(segment.get("sid", audio.get("aid", manifest.name))), "missing_field")
