"""WenetSpeech-Yue and WenetSpeech-Chuan: metadata without audio, read for the recordings that the user has.

SRC/audio holds, in any container that libsndfile reads, KEY.wav, the utterance itself, or the whole recording that it
is a piece of: under the key without its times (gd0027722 of gd0027722_620270_624350), or under the last part of its
link (BV1xx411c7mD of https://host/video/BV1xx411c7mD/, BV1xx411c7mD_p3 if the link ends in ?p=3).
"""

import os
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Mapping, Optional

from espnet_llmasr import audio
from espnet_llmasr.data.formats.generic import json_manifest
from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.utterance import Utterances

_TIMES = re.compile(r"_\d+_\d+$")
_PAGE = re.compile(r"\bp=(\d+)")


def read(
    source: Source,
    id: str,
    text: str,
    audio: str,
    times: str = "meta_info.time_stamp|time_stamp",
    confidence: str = "confidence",
    min_confidence: float = 0.0,
) -> Utterances:
    """The reader of both; a corpus gives its names of the first three fields with functools.partial."""
    fields = dict(id=id, text=text, audio=audio, times=times, confidence=confidence)
    for path in source.share(source.find("*.jsonl*", "*.json")):
        yield from crawled(source, path, fields, min_confidence)


def crawled(source: Source, path: Path, fields: Mapping[str, str], min_confidence: float) -> Utterances:
    """Utterances of a JSON lines file; `fields` as in json_manifest, where audio names a link or a file.

    A whole file becomes a piece, too: in a data directory all utterances are pieces, or none is.
    """
    folder = source.path / "audio"
    find = lru_cache(4096)(lambda name: first_audio(folder, name))
    for utterance in json_manifest(source, path, fields, min_confidence=min_confidence):
        key, link = utterance.id, utterance.audio
        if not source.is_mine(key):
            continue  # before its audio is looked for
        clip = first_audio(folder, key)
        entry = clip or find(_TIMES.sub("", key)) or find(link_name(link)) or str(folder / key)
        start, end = utterance.start, utterance.end
        try:
            if clip or end is None:
                start, end = 0.0, audio.info(entry).seconds
        except audio.AudioError as error:
            source.drop(key, error.reason)
        else:
            yield replace(utterance, audio=entry, start=start, end=end)


def first_audio(folder: Path, name: str) -> Optional[str]:
    """The first existing folder/name.suffix; a list of all files would fill the memory."""
    paths = (f"{folder}/{name}{suffix}" for suffix in audio.SUFFIXES)
    return next((path for path in paths if name and os.path.exists(path)), None)


def link_name(link: str) -> str:
    """https://host/video/BV1xx411c7mD/?p=3 -> BV1xx411c7mD_p3; dir/recording.mp3 -> recording."""
    path, _, query = link.partition("?")
    page = _PAGE.search(query)
    return Path(path).stem + (f"_p{page[1]}" if page else "")
