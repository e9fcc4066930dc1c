"""What can be wrong with a request: a status, and one line in OpenAI's form of an error."""

from typing import Dict, Optional

from fastapi.responses import JSONResponse

from espnet_llmasr.files import printable
from espnet_llmasr.inference.transcribe import TOO_LONG

TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
KINDS = "wav, flac, mp3, ogg, opus, aiff or au (m4a, webm, video: convert it)"
NO_AUDIO = f"this is no audio that can be read here: send {KINDS}"
DAMAGED = "the recording is damaged, or of a codec that cannot be read here: write it again, as wav or flac"
REASONS: Dict[str, tuple] = {  # of audio.AudioError
    "empty_wav": (422, "the file has no sound: send a recording"),
    "unreadable_wav": (415, NO_AUDIO),
    "damaged_wav": (422, DAMAGED),
    "bad_rate": (422, "the sample rate in the header is none: allowed are 1,000 to 768,000 Hz"),
    "truncated_wav": (422, "the end of the recording is missing: send all of the file"),
    "wrong_length": (422, "the recording is longer or shorter than its header states: write the file again"),
    "joined_wav": (422, "the file is two recordings behind each other: send one"),
    "nan_samples": (422, "the recording has samples that are no numbers (NaN or infinite): write it again"),
}


class Fault(Exception):
    """A request that cannot be answered: an HTTP status and one line; `param` is the field that is wrong."""

    def __init__(self, status: int, message: str, param: Optional[str] = None, **headers: str):
        super().__init__(printable(message))
        self.status, self.param, self.headers = (
            status,
            param,
            {name.replace("_", "-"): headers[name] for name in headers},
        )

    @property
    def body(self) -> Dict:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": str(self.status)}}

    @property
    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, self.headers)


def of_audio(error: str, max_seconds: float) -> Fault:
    """The fault for the `error` of a transcript, whose last word is the reason."""
    reason = error.rpartition(": ")[2]
    if reason == TOO_LONG:
        return Fault(413, f"the recording is longer than {max_seconds:,g} s: cut it", "file")
    if reason not in REASONS:
        return Fault(500, "the file could not be read; the log of the server says why")
    return Fault(REASONS[reason][0], REASONS[reason][1], "file")
