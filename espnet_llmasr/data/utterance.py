"""One utterance, from the reader of a corpus to the dump directory."""

from dataclasses import dataclass
from typing import Iterator, Optional

LONGEST_S = 1e6  # seconds, 12 days: no recording is so long


@dataclass(frozen=True)
class Utterance:
    """One utterance; strings are empty and numbers None where nothing is known.

    A corpus reader gives it as published: `audio` is an entry as in espnet_llmasr.audio (path, or shard.tar:offset),
    `start` and `end` (seconds) cut a piece out of it, `text` is the transcript without the tags of the corpus. In a
    data directory the piece is a part of the entry (talk.flac#t=1.000,2.500), so that `start` and `end` are None.
    """

    id: str
    audio: str
    text: str
    speaker: str = ""
    """Empty: the utterance is a speaker of its own."""
    lang: str = ""
    """A value of utt2lang; empty: the language of the corpus, or the one that the script of the text tells."""
    start: Optional[float] = None
    end: Optional[float] = None
    duration: Optional[float] = None
    """Seconds; None: the header of the audio tells."""
    recording: str = ""
    """The name, in wav.scp, of the recording that the piece is cut out of; empty for audio that is not cut."""
    pronunciation_text: str = ""
    """The words that the labels are made of, where `text` writes them otherwise (digits)."""
    fault: str = ""
    """The reason to drop the utterance that was found on reading: no_wav, no_text, bad_times, no_recording, bad_duration."""


Utterances = Iterator[Utterance]


class Dropped(Exception):
    """An utterance that cannot be used; `reason` is the word that counts it."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def is_mistyped(utterance: Utterance) -> bool:
    """True if a field holds another type than it should, as it comes from a damaged manifest (null, a list)."""
    words = (utterance.id, utterance.audio, utterance.text, utterance.speaker, utterance.lang, utterance.recording)
    numbers = (utterance.start, utterance.end, utterance.duration)
    is_text = all(isinstance(word, str) for word in words)
    return not (is_text and all(isinstance(number, (int, float, type(None))) for number in numbers))
