"""From an utterance as published to one of our data directories: canonical text, ids in Kaldi's order, a duration."""

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Tuple

from espnet_llmasr import audio
from espnet_llmasr.data.formats.source import Source
from espnet_llmasr.data.utterance import Utterance
from espnet_llmasr.text.transcript import Transcript

_NOT_IN_ID = re.compile(r"[^\w.:-]")
_NOT_IN_PATH = re.compile(r"[\t\n\r\ud800-\udfff]|\s$")


class Unusable(Exception):
    """An utterance to drop; the message is the reason."""


class Namer:
    """Ids that are unique among corpora, hold no blanks or slashes, and sort like their speakers (Kaldi's rule).

    A speaker becomes PREFIX_speaker without "-", an utterance that followed by "-": "-" sorts before all else that may
    occur in an id, so the order of the utterances is also that of the speakers.
    """

    def __init__(self, prefix: str):
        self.prefix = clean_id(prefix).replace("-", "_")

    def __call__(self, utterance: str, speaker: str) -> Tuple[str, str]:
        """(utterance id, speaker id); without a speaker both are the same."""
        name, speaker = clean_id(utterance), clean_id(speaker).replace("-", "_")
        if not speaker:
            name = f"{self.prefix}_{name.replace('-', '_')}"
            return name, name
        rest = name[len(speaker) + 1 :] if name.startswith(f"{speaker}-") else name
        return f"{self.prefix}_{speaker}-{rest}", f"{self.prefix}_{speaker}"


def clean_id(name: str) -> str:
    return _NOT_IN_ID.sub("_", name.strip())


@lru_cache(4096)
def recording_seconds(entry: str) -> float:
    return audio.info(entry).seconds


class Canonical:
    """The utterances of a corpus in the form of our data directories.

    Args:
        prefix: begins all ids.
        text_style: one of text.transcript.STYLES.
    """

    def __init__(self, prefix: str, text_style: str):
        self.name, self.transcript = Namer(prefix), Transcript(text_style)

    def __call__(self, utterance: Utterance, source: Source, lang: str) -> Utterance:
        """The utterance; `lang` is the language of the corpus, for utterances that have none of their own.

        Raises:
            Unusable, audio.AudioError: with the reason to drop it.
        """
        check(utterance)
        lang = utterance.lang or lang
        text, pronunciation = map(one_line, self.transcript(utterance.text, lang))
        if not text:
            raise Unusable("empty_text")
        seconds = seconds_of(utterance, source.staged(utterance.audio))
        entry, recording = utterance.audio, ""
        if utterance.end is not None:
            start = utterance.start or 0.0
            entry = f"{entry}#t={start:.3f},{start + seconds:.3f}"
            recording = f"{self.name.prefix}_{clean_id(utterance.recording or Path(utterance.audio).stem)}"
        key, speaker = self.name(utterance.id, utterance.speaker)
        more = dict(duration=seconds, recording=recording, pronunciation_text=pronunciation)
        return Utterance(key, entry, text, speaker, lang, **more)


def check(utterance: Utterance) -> None:
    """Raises Unusable for what no table can hold."""
    if not utterance.id.strip():
        raise Unusable("empty_id")
    if not (is_utf8(utterance.text) and is_utf8(utterance.id)):
        raise Unusable("not_utf8")
    if _NOT_IN_PATH.search(utterance.audio):
        raise Unusable("bad_path")


def seconds_of(utterance: Utterance, entry: str) -> float:
    """Duration, from the times or the manifest where they are given, otherwise from the header of the audio."""
    if utterance.end is not None:
        start, end = utterance.start or 0.0, utterance.end
        if not 0 <= start < end:
            raise Unusable("bad_times")
        if end > recording_seconds(entry) + 0.1:
            raise Unusable("beyond_end")
        return min(end, recording_seconds(entry)) - start
    if utterance.duration is None:
        return audio.info(entry).seconds
    where = audio.Entry.parse(entry)
    if not where.exists():
        raise Unusable("empty_wav" if Path(where.path).exists() else "missing_wav")
    if not (utterance.duration > 0 and math.isfinite(utterance.duration)):
        raise Unusable("bad_duration")
    return utterance.duration


def is_utf8(text: str) -> bool:
    """False for text with lone surrogates, to which `readers.lines` decodes bytes of another encoding."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def one_line(text: str) -> str:
    """The text without tabs and line breaks, which would make other columns and lines."""
    return text if text.isprintable() else " ".join(text.split())
