"""The form of a request: a file, which goes to the disk while it comes, and checked fields."""

import asyncio
import math
import re
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import AsyncIterator, Callable, List, Literal, Set, Tuple

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from espnet_llmasr.serve.faults import Fault

MOST = dict(max_files=1, max_fields=32, max_part_size=65536)  # of a form; the last in bytes of a field
MAX_HOTWORDS, MAX_NUMBERS, MAX_PHRASES = 1000, 100, 100  # a number takes 20 ms to be read, in which nobody is served
PHRASE_END = r"[,;:!?，、；：！？。\n]|\.(?=\s|$)"  # in a prompt
_DIGIT = re.compile(r"\d").search
LANGUAGES = {"english": "en", "chinese": "zh", "mandarin": "zh", "cantonese": "yue", "zh-yue": "yue"}
IDLE_S = 30.0  # without a byte, after which an upload is given up
END_S = 1.0  # of an upload after the end of the server was asked for
LINGER_S = 2.0  # for which a body that is too large is read on, see `_linger`
SLOWEST = 20_000  # bytes a second after the first IDLE_S, else an upload is given up


class Form(BaseModel, extra="forbid"):
    """The fields of OpenAI's request that have a meaning here, and `hotwords`."""

    model: str = Field("", description="the name in /v1/models, or empty")
    language: str = Field("", description="of the recording: en, zh, yue, zh-CN, English, ...", max_length=12)
    prompt: str = Field("", description="a text whose phrases are likely: hotwords, where they can be used")
    hotwords: str = Field("", description="names and rare words, divided by commas")
    response_format: Literal["json", "verbose_json", "text", "srt", "vtt"] = "json"
    timestamp_granularities: List[Literal["segment", "word"]] = Field([], alias="timestamp_granularities[]")
    stream: bool = Field(False, description="server-sent events, as long recordings are cut")
    temperature: float = Field(0.0, ge=0, le=1, description="without effect: decoding is a beam search")
    chunking_strategy: Literal["", "auto"] = Field("", description="without effect: long recordings are always cut")

    @field_validator("language")
    @classmethod
    def _code(cls, language: str) -> str:
        code = language.strip().lower().replace("_", "-")
        return LANGUAGES.get(code, code)

    @model_validator(mode="after")
    def _fit(self) -> "Form":
        if self.stream and "json" not in self.response_format:
            raise ValueError("stream=true goes with response_format json or verbose_json")
        if self.timestamp_granularities and self.response_format != "verbose_json":
            raise ValueError("timestamp_granularities go with response_format=verbose_json")
        if len(self.listed) > MAX_HOTWORDS:
            raise ValueError(f"found {len(self.listed)} hotwords: at most {MAX_HOTWORDS} are allowed")
        numbers = sum(map(bool, map(_DIGIT, self.listed)))
        if numbers > MAX_NUMBERS:
            raise ValueError(f"found {numbers} hotwords with digits: at most {MAX_NUMBERS} are allowed, write them out")
        return self

    @property
    def listed(self) -> List[str]:
        """The entries of `hotwords`."""
        return _phrases("[,，]", self.hotwords)

    @property
    def words(self) -> Tuple[str, ...]:
        """The hotwords, and then the first phrases without digits of the prompt, which need not be usable."""
        phrases = [phrase for phrase in _phrases(PHRASE_END, self.prompt) if not _DIGIT(phrase)]
        return tuple(dict.fromkeys([*self.listed, *phrases[:MAX_PHRASES]]))[:MAX_HOTWORDS]


def _phrases(ends: str, text: str) -> List[str]:
    words = (" ".join(phrase.split()) for phrase in re.split(ends, text))
    return list(dict.fromkeys(filter(None, words)))


SCHEMA = Form.model_json_schema()
SCHEMA["properties"] = {"file": {"type": "string", "format": "binary"}, **SCHEMA["properties"]}
SCHEMA["required"] = ["file"]


class Uploads:
    """The forms that are coming. After `end` a form has END_S to be complete: the last bytes may have come already."""

    def __init__(self):
        self.last = math.inf  # the time of the loop at which all forms must be complete
        self.limits: Set[asyncio.Timeout] = set()

    def end(self) -> None:
        self.last = asyncio.get_running_loop().time() + END_S
        for limit in self.limits:
            self.move(limit, limit.when())

    def move(self, limit: asyncio.Timeout, time: float) -> None:
        if not limit.expired():
            limit.reschedule(min(time, self.last))

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[asyncio.Timeout]:
        """Of a form, for `move`. Raises Fault after it."""
        try:
            async with asyncio.timeout(IDLE_S) as limit:
                self.limits.add(limit)
                yield limit
        except TimeoutError as error:
            slow = f"nothing came for {IDLE_S:g} s, or less than {SLOWEST:,} bytes a second"
            status, why = (408, slow) if self.last == math.inf else (503, "the server ends")
            raise Fault(status, f"{why}: send the file again", Connection="close") from error
        finally:
            self.limits.discard(limit)


async def read_form(request: Request, max_bytes: int, uploads: Uploads) -> Tuple[UploadFile, Form]:
    """The uploaded file, which the caller closes, and the fields.

    Raises:
        Fault: 400, 408, 413, 415, 422, or 503 when the server ends.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Fault(415, "the body is no multipart/form-data: send a form with the field 'file'")
    if int(request.headers.get("content-length", 0)) > max_bytes:
        if "expect" not in request.headers:  # else the client sends the body only when it is asked for it
            await _linger(request.stream())
        raise _too_large(max_bytes)
    try:
        async with uploads.limit() as limit:
            body = _body(request, max_bytes, partial(uploads.move, limit))
            parts = await MultiPartParser(request.headers, body, **MOST).parse()
    except MultiPartException as error:
        raise Fault(400, f"the form cannot be read: {error.message}") from error
    files = [part for part in parts.values() if isinstance(part, UploadFile)]
    try:
        return _file(parts), _fields(parts)
    except Fault:
        for file in files:
            file.file.close()
        raise


async def _body(request: Request, max_bytes: int, move: Callable[[float], None]) -> AsyncIterator[bytes]:
    """The body in chunks; each moves the limit of time. Raises Fault for more bytes than allowed."""
    size, clock = 0, asyncio.get_running_loop().time
    started = clock()
    move(started + IDLE_S)
    stream = request.stream()
    async for chunk in stream:
        size += len(chunk)
        if size > max_bytes:
            await _linger(stream)
            raise _too_large(max_bytes)
        move(IDLE_S + min(clock(), started + size / SLOWEST))
        yield chunk


async def _linger(rest: AsyncIterator[bytes]) -> None:
    """Drops what comes within LINGER_S: a client that writes all before it reads loses an answer that comes earlier."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            async for _ in rest:
                pass


def _too_large(max_bytes: int) -> Fault:
    return Fault(
        413, f"the request has more than {max_bytes:,} bytes: send flac or mp3, or less", "file", Connection="close"
    )


def _file(parts: FormData) -> UploadFile:
    file = parts.get("file")
    if not isinstance(file, UploadFile) or len(parts.getlist("file")) > 1:
        raise Fault(422, "the form needs one file in the field 'file'", "file")
    return file


def _fields(parts: FormData) -> Form:
    values = {}
    for name in parts.keys() - {"file"}:
        found = parts.getlist(name)
        values[name] = found if name.endswith("[]") or len(found) > 1 else found[0]
    try:
        return Form.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else None
        if name is None:
            raise Fault(422, first["msg"].removeprefix("Value error, ")) from error
        known = [field.alias or key for key, field in Form.model_fields.items()]
        allowed = f"known fields are file, {', '.join(known)}" if first["type"] == "extra_forbidden" else first["msg"]
        raise Fault(422, f"{name[:40]}: found '{str(first['input'])[:40]}': {allowed}", name[:40]) from error
