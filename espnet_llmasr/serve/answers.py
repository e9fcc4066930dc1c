"""Transcripts as OpenAI's answers, with what the guard knows besides: confidence, flags and gaps."""

import json
import zlib
from typing import Dict, List, Sequence

from fastapi.responses import JSONResponse, PlainTextResponse, Response

from espnet_llmasr.inference.formats import as_srt, as_text, as_vtt, evenly
from espnet_llmasr.inference.transcribe import Segment, Transcript

TEXTS = {"text": as_text, "srt": as_srt, "vtt": as_vtt}


def answer(transcript: Transcript, form: str, granularities: Sequence[str]) -> Response:
    """The response in one of OpenAI's formats."""
    if form in TEXTS:
        return PlainTextResponse(TEXTS[form](transcript))
    return JSONResponse(verbose(transcript, granularities) if form == "verbose_json" else plain(transcript))


def plain(transcript: Transcript) -> Dict:
    return {"text": transcript.text, "usage": {"type": "duration", "seconds": round(transcript.seconds, 3)}}


def verbose(transcript: Transcript, granularities: Sequence[str]) -> Dict:
    """Segments unless only words are asked for."""
    found = {"task": "transcribe", "language": transcript.language, "duration": round(transcript.seconds, 3)}
    found |= plain(transcript)
    if "word" in granularities:
        found["words"] = [word for segment in transcript.segments for word in words(segment)]
    if "segment" in granularities or not granularities:
        found["segments"] = [segment_row(number, one) for number, one in enumerate(transcript.segments)]
    return found


def segment_row(number: int, segment: Segment) -> Dict:
    """OpenAI's segment. Without a CTC head `no_speech_prob` is 0, with one it is 1 - confidence."""
    hypothesis = segment.hypothesis
    text, data = hypothesis.text, hypothesis.text.encode()
    confidence = None if hypothesis.confidence is None else round(hypothesis.confidence, 6)
    return {
        "id": number,
        "seek": int(segment.start_s * 100),
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(hypothesis.score, 4),
        "compression_ratio": round(len(data) / len(zlib.compress(data)), 4),
        "no_speech_prob": 0.0 if confidence is None else round(1 - confidence, 6),
        "confidence": confidence,
        "flags": list(hypothesis.flags),
        "gaps": [{"start": gap.start_s, "end": gap.end_s, "kind": gap.kind} for gap in hypothesis.gaps],
    }


def words(segment: Segment) -> List[Dict]:
    """Words with their times; those that the CTC head cannot align share the segment, and have no confidence."""
    found = segment.hypothesis.words or evenly(segment)
    return [
        {
            "word": word.text,
            "start": round(word.start_s, 3),
            "end": round(word.end_s, 3),
            "confidence": None if word.confidence is None else round(word.confidence, 4),
        }
        for word in found
    ]


def delta_event(text: str, number: int, segment: Segment, is_verbose: bool) -> str:
    """What a segment adds to the text; with all that is known of it for verbose_json."""
    row = {"type": "transcript.text.delta", "delta": text}
    if is_verbose:
        row["segment"] = {**segment_row(number, segment), "words": words(segment)}
    return event(row)


def done_event(transcript: Transcript, is_verbose: bool, granularities: Sequence[str]) -> str:
    """The whole text; for verbose_json with its other keys, and as subtitles."""
    row = {"type": "transcript.text.done", **plain(transcript)}
    if is_verbose:
        row |= verbose(transcript, granularities) | {"srt": as_srt(transcript)}
    return event(row)


def event(row: Dict) -> str:
    """A server-sent event; JSON has no raw line breaks."""
    return f"data: {json.dumps(row, ensure_ascii=False)}\n\n"
