"""JSON lines whose fields have any names (the user gives them with --set), and a folder of audio with a transcript."""

import os
from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional, Tuple, Union

from espnet_llmasr import audio
from espnet_llmasr.data.formats.readers import json_lines, key_values
from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.utterance import Utterance, Utterances

NEEDED = ("id", "audio", "text")


def field(row: Mapping, names: str) -> object:
    """The value of a field, None if the row lacks it: "a.b" is field b of object a; "a|b" is a, or b if a is missing."""
    for name in names.split("|"):
        value = row
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


def field_names(row: Mapping, prefix: str = "") -> Iterator[str]:
    """The names, as `field` takes them, of all values that are not objects."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from field_names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def check_fields(path: Path, row: Mapping, fields: Mapping[str, str]) -> None:
    """Raises ValueError if an object lacks one of these fields, with the names that it has."""
    for what, names in fields.items():
        if field(row, names) is None:
            instead = "" if what in NEEDED else f", or --set {what}= to do without"
            raise ValueError(
                f"the first line of {path} has no field '{names}' for {what}, its fields are"
                f" {', '.join(field_names(row))}: give --set {what}=FIELD{instead}"
            )


def json_manifest(
    source: Source, path: Path, fields: Mapping[str, str], root: Union[str, Path] = "", min_confidence: float = 0.0
) -> Utterances:
    """Utterances of a JSON lines file, also gzipped.

    Args:
        fields: id, audio, text -> their names (see `field`); optionally also duration (seconds), speaker, times (of a
            piece of the audio, "620.270_624.350" in seconds) and confidence. An empty name is not used.
        root: the folder to which the audio paths are relative.
        min_confidence: objects with less confidence, or none, are dropped.
    Raises:
        ValueError: the first object lacks a field.
    """
    fields = {what: names for what, names in fields.items() if names}
    for number, row in enumerate(json_lines(source, path), 1):
        if number == 1:
            check_fields(path, row, fields)
        value = {what: field(row, names) for what, names in fields.items()}
        utterance = utterance_of(value, root, min_confidence)
        if isinstance(utterance, Utterance):
            yield utterance
        else:
            source.drop(str(value["id"] or f"{path.name}/{number}"), utterance)


def utterance_of(value: Mapping, root: Union[str, Path], min_confidence: float) -> Union[Utterance, str]:
    """An utterance, or the reason why it cannot be one."""
    try:
        if value["id"] is None:
            return "missing_id"
        if min_confidence and float(value.get("confidence") or 0) < min_confidence:
            return "low_confidence"
        if "times" in value and value["times"] is None:
            return "missing_times"
        start, end = times_of(value.get("times"))
        duration = None if value.get("duration") is None else float(value["duration"])
    except (ValueError, TypeError):
        return "bad_number"
    if value["audio"] is None:
        return "missing_wav"
    speaker, text = ("" if value.get(what) is None else str(value[what]) for what in ("speaker", "text"))
    entry = os.path.join(root, str(value["audio"]))
    return Utterance(str(value["id"]), entry, text, speaker, start=start, end=end, duration=duration)


def times_of(times: Optional[str]) -> Tuple[Optional[float], Optional[float]]:
    """Start and end in seconds of "620.270_624.350"; raises ValueError for other text."""
    if times is None:
        return None, None
    start, _, end = str(times).partition("_")
    return float(start), float(end)


def wav_folder(source: Source, folder: Path, transcript: Path, lang: str = "") -> Utterances:
    """Utterances of a transcript "id text" (a tab or blanks; the id may end in .wav) and audio anywhere under `folder`.

    Audio without a line is dropped as no_text here; a line without audio is dropped as missing_wav in data/prepare.py.
    Raises ValueError for two files of one name.
    """
    wavs = audio_files(folder)
    spare = dict.fromkeys(wavs)
    for name, text in key_values(transcript):
        name = strip_suffix(name)
        spare.pop(name, None)
        yield Utterance(name, str(wavs.get(name, folder / f"{name}.wav")), text, lang=lang)
    for name in spare:
        source.drop(name, "no_text")


def strip_suffix(name: str) -> str:
    return Path(name).stem if name.lower().endswith(audio.SUFFIXES) else name


def audio_files(folder: Path) -> Dict[str, Path]:
    """{name without suffix: path} of all audio below a folder. Holds all names in memory: for test sets only."""
    paths: Dict[str, Path] = {}
    for path in sorted(audio.find_files(folder)):
        if path.stem in paths:
            raise ValueError(f"{paths[path.stem]} and {path} have the same name: rename all but one")
        paths[path.stem] = path
    return paths
