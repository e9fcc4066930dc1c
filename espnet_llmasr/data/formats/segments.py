"""GigaSpeech and WenetSpeech: long recordings, whose segments are listed in one JSON file of many gigabytes."""

from pathlib import Path

from espnet_llmasr.data.formats.readers import json_items
from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.utterance import Utterance, Utterances, is_mistyped


def segments(source: Source, manifest: Path, text: str) -> Utterances:
    """Segments of the subset named like the part, in braces or not; one recording at a time is in memory.

    `text` is the field of the transcript. A segment that lacks a field is dropped as missing_field, one whose field
    holds another kind of value as wrong_type. Raises ValueError for broken JSON.
    """
    subset = source.part.upper()
    for number, audio in enumerate(json_items(manifest, "audios.item"), 1):
        segments_of = audio.get("segments") if isinstance(audio, dict) else None
        if not isinstance(segments_of, list):
            source.drop(f"{manifest.name}:audios[{number}]", "missing_field")
            continue
        for segment in segments_of:
            name = segment.get("sid", audio.get("aid", "")) if isinstance(segment, dict) else audio.get("aid", "")
            try:
                if subset not in (label.strip("{}").upper() for label in segment.get("subsets", ())):
                    continue
                utterance = utterance_of(manifest.parent, audio, segment, text)
            except KeyError:
                source.drop(str(name), "missing_field")
            except (AttributeError, TypeError, ValueError):
                source.drop(str(name), "wrong_type")
            else:
                yield utterance


def utterance_of(root: Path, audio: dict, segment: dict, text: str) -> Utterance:
    """Raises KeyError, TypeError or ValueError where something is missing or of another type."""
    times = dict(start=float(segment["begin_time"]), end=float(segment["end_time"]), recording=audio["aid"])
    path, speaker = str(root / audio["path"]), segment.get("speaker") or ""
    utterance = Utterance(segment["sid"], path, segment[text], speaker, **times)
    if is_mistyped(utterance):
        raise TypeError(utterance)
    return utterance
