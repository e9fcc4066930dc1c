"""Transcripts as text, JSON lines, subtitles, CTM or lines of Kaldi, on the standard output or in one file each."""

import html
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from espnet_llmasr import audio
from espnet_llmasr.files import printable, write_atomically
from espnet_llmasr.guard.verifier import Word
from espnet_llmasr.inference.long_audio import tokens
from espnet_llmasr.inference.transcribe import Segment, Source, Transcript

CUE_S, CUE_LETTERS = 7.0, 84  # most of a subtitle: two lines of 42 letters
PAUSE_S = 1.0  # between two words, which ends a subtitle


class Cue(NamedTuple):
    """A subtitle with its times in seconds."""

    start_s: float
    end_s: float
    text: str


def as_text(transcript: Transcript) -> str:
    return f"{transcript.text}\n"


def as_kaldi(transcript: Transcript) -> str:
    """A line "id text"; blanks in an id, as file names have them, become "_"."""
    return f"{_id(transcript)} {transcript.text}".rstrip() + "\n"


def as_json(transcript: Transcript) -> str:
    """One line; times are in seconds of the recording."""
    whole = transcript.hypothesis
    row = dict(id=transcript.id, text=transcript.text, language=transcript.language)
    row |= dict(seconds=round(transcript.seconds, 3), **_scores(whole))
    row["words"] = [word._asdict() for word in whole.words]
    row["gaps"] = [gap._asdict() for gap in whole.gaps]
    row["segments"] = [
        dict(
            start_s=round(one.start_s, 3),
            end_s=round(one.end_s, 3),
            text=one.hypothesis.text,
            **_scores(one.hypothesis),
        )
        for one in transcript.segments
    ]
    return json.dumps(row, ensure_ascii=False) + "\n"


def as_srt(transcript: Transcript) -> str:
    rows = enumerate(cues(transcript), 1)
    return "".join(f"{number}\n{_span(cue, ',')}\n{cue.text}\n\n" for number, cue in rows)


def as_vtt(transcript: Transcript) -> str:
    rows = (f"{_span(cue, '.')}\n{html.escape(cue.text, quote=False)}\n\n" for cue in cues(transcript))
    return "WEBVTT\n\n" + "".join(rows)


def as_ctm(transcript: Transcript) -> str:
    """A line "id 1 start duration word confidence" for each word.

    The words of a segment that the CTC head cannot align share its duration equally, and have no confidence.
    """
    rows = []
    for segment in transcript.segments:
        for word in segment.hypothesis.words or evenly(segment):
            confidence = "" if word.confidence is None else f" {word.confidence:.4f}"
            rows.append(
                f"{_id(transcript)} 1 {word.start_s:.3f} {word.end_s - word.start_s:.3f} {word.text}{confidence}\n"
            )
    return "".join(rows)


class Format(NamedTuple):
    """`write` makes the text of a transcript. Only one transcript fits into a file of a format that is not `joins`."""

    suffix: str
    write: Callable[[Transcript], str]
    joins: bool = True
    needs_times: bool = False


FORMATS: Dict[str, Format] = {
    "text": Format("txt", as_text),
    "json": Format("json", as_json),
    "srt": Format("srt", as_srt, joins=False),
    "vtt": Format("vtt", as_vtt, joins=False),
    "ctm": Format("ctm", as_ctm, needs_times=True),
    "kaldi": Format("text", as_kaldi),
}


def check_format(name: str, sources: Sequence[Source], output_dir: Optional[Path], has_times: bool) -> None:
    """Raises ValueError if these recordings cannot be written in this format."""
    form = FORMATS[name]
    if form.needs_times and not has_times:
        raise ValueError(f"--format {name} needs the times of words: give a CTC head, and no --guard off")
    if output_dir is None:
        if len(sources) > 1 and not form.joins:
            raise ValueError(f"--format {name} holds one recording, found {len(sources)}: give --output_dir")
        return
    names = Counter(file_name(source.id) for source in sources)
    name, number = names.most_common(1)[0]
    if number > 1:
        twice = [source.id for source in sources if file_name(source.id) == name]
        raise ValueError(
            f"{twice[0]} and {twice[1]} would both become {name}.{form.suffix}: transcribe them separately"
        )


def file_name(uid: str) -> str:
    """The name, without suffix, of the file of a recording."""
    path = Path(uid.partition("#t=")[0])
    return path.stem if path.suffix.lower() in audio.SUFFIXES else path.name


def deliver(transcripts: Iterable[Transcript], name: str, output_dir: Optional[Path], named: bool) -> int:
    """Writes transcripts as they come; names those that failed on the standard error, and returns their number.

    Args:
        output_dir: a file for each, which is complete as soon as it is there; None for the standard output.
        named: lines of text on the standard output begin with the id and a tab.
    """
    failed, form = 0, FORMATS[name]
    for transcript in transcripts:
        if transcript.error:
            failed += 1
            print(printable(f"{transcript.id}: not transcribed: {transcript.error}"), file=sys.stderr, flush=True)
        elif output_dir is not None:
            write_atomically(output_dir / f"{file_name(transcript.id)}.{form.suffix}", form.write(transcript))
        else:
            sys.stdout.write(f"{transcript.id}\t" * (named and name == "text") + form.write(transcript))
            sys.stdout.flush()
    return failed


def cues(transcript: Transcript) -> Iterator[Cue]:
    """Subtitles: a segment each, divided into short ones where the times of its words are known."""
    for segment in transcript.segments:
        text, words = segment.hypothesis.text, segment.hypothesis.words
        found = tokens(text)
        if not text:
            continue
        if len(words) != len(found):
            yield Cue(segment.start_s, segment.end_s, text)
            continue
        first = 0
        for end in range(1, len(words) + 1):
            if end == len(words) or _is_full(
                words[first], words[end - 1], words[end], found[end].end() - found[first].start()
            ):
                yield Cue(words[first].start_s, words[end - 1].end_s, text[found[first].start() : found[end - 1].end()])
                first = end


def _is_full(first: Word, last: Word, following: Word, letters: int) -> bool:
    """True if a subtitle ends before the following word, with which it would have so many letters."""
    too_long = letters > CUE_LETTERS or following.end_s - first.start_s > CUE_S
    return too_long or following.start_s - last.end_s > PAUSE_S


def evenly(segment: Segment) -> List[Word]:
    """The words of a segment, each with the same share of its duration and without confidence."""
    found = tokens(segment.hypothesis.text)
    share = (segment.end_s - segment.start_s) / max(1, len(found))
    times = [segment.start_s + number * share for number in range(len(found) + 1)]
    return [Word(match[0], *span, None) for match, span in zip(found, zip(times, times[1:]))]


def _scores(hypothesis) -> Dict:
    confidence = None if hypothesis.confidence is None else round(hypothesis.confidence, 6)
    return dict(score=round(hypothesis.score, 4), confidence=confidence, flags=list(hypothesis.flags))


def _id(transcript: Transcript) -> str:
    return "_".join(transcript.id.split())


def _span(cue: Cue, point: str) -> str:
    return f"{_clock(cue.start_s, point)} --> {_clock(cue.end_s, point)}"


def _clock(seconds: float, point: str) -> str:
    """3661.5 -> 01:01:01,500"""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"
