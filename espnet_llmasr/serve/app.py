"""The routes of the server."""

import asyncio
import time
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from typing import AsyncIterator, Callable, Optional, Tuple

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from espnet_llmasr.inference.speech2text import Speech2Text
from espnet_llmasr.inference.transcribe import Recording, Source
from espnet_llmasr.serve.answers import answer, delta_event, done_event, event
from espnet_llmasr.serve.batcher import BadHotwords, Batcher, Job
from espnet_llmasr.serve.faults import Fault, of_audio
from espnet_llmasr.serve.form import SCHEMA, Form, Uploads, read_form
from espnet_llmasr.serve.gate import GONE, Gate, Keys
from espnet_llmasr.text.inventories import HAN_TABLES
from espnet_llmasr.text.normalize import joined

PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/recorder.js": ("recorder.js", "text/javascript"),
}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Options:
    """Of the server: the model's name, limits of a request, keys (none: everybody may come), origin for CORS."""

    name: str
    max_bytes: int = 200_000_000
    max_seconds: int = 10800
    max_waiting: int = 256
    keys: Tuple[bytes, ...] = ()
    cors_origin: Optional[str] = None


def build_app(batcher: Batcher, options: Options, uploads: Uploads):
    """The ASGI application; the batcher must run when it answers. `uploads.end()` gives up those that are coming."""
    gate = Gate(batcher, options.max_waiting)
    schema = None if options.keys else "/openapi.json"
    app = gate.app = FastAPI(
        title="espnet_llmasr", openapi_url=schema, docs_url=None, redoc_url=None
    )  # scripts elsewhere
    app.include_router(_api(batcher, options, uploads))
    app.add_exception_handler(Fault, lambda _, fault: fault.response)
    app.add_exception_handler(HTTPException, lambda _, error: Fault(error.status_code, error.detail).response)
    app.add_exception_handler(ClientDisconnect, lambda *_: Response(status_code=GONE))
    app.add_exception_handler(Exception, lambda *_: Fault(500, "an error of the server; its log says why").response)

    @app.get("/health")
    def health():
        if not batcher.is_alive:
            raise Fault(503, "the decoding has ended; the log says why: start the server again")
        return {"status": "ok", "waiting": gate.taken}

    @app.get("/metrics")
    def metrics():
        return Response(gate.metrics.text, media_type="text/plain; version=0.0.4")

    for path, (name, kind) in PAGE.items():
        content = files("espnet_llmasr.serve").joinpath("page", name).read_bytes()
        response = Response(content, media_type=kind, headers=PAGE_HEADERS)
        app.add_route(path, partial(_same, response=response), include_in_schema=False)
    if options.cors_origin is None:
        return gate
    return CORSMiddleware(gate, [options.cors_origin], ["GET", "POST"], ["Authorization"])


async def _same(_: Request, response: Response) -> Response:
    return response


def _api(batcher: Batcher, options: Options, uploads: Uploads) -> APIRouter:
    """OpenAI's routes."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(Keys(options.keys))])
    model = {"id": options.name, "object": "model", "created": int(time.time()), "owned_by": "espnet_llmasr"}
    check_language = lru_cache(64)(lambda language: _check_language(batcher.speech2text, language))

    @router.get("/models")
    def models():
        return {"object": "list", "data": [model]}

    @router.get("/models/{name:path}")
    def one_model(name: str):
        _check_model(name, options.name)
        return model

    body = {"content": {"multipart/form-data": {"schema": SCHEMA}}, "required": True}

    @router.post("/audio/transcriptions", openapi_extra={"requestBody": body})
    async def transcriptions(request: Request):
        upload, form = await read_form(request, options.max_bytes, uploads)
        try:
            _check_model(form.model or options.name, options.name)
            _check_form(batcher.speech2text, form)
            check_language(form.language)
        except Fault:
            upload.file.close()
            raise
        job, changed = _job(upload.file, form, options.max_seconds)
        request.state.job = job
        batcher.submit(job)
        if form.stream:
            return await _stream(request, job, changed, form, options)
        return await _whole(request, job, changed, form, options)

    return router


def _check_model(name: str, known: str) -> None:
    if name != known:
        raise Fault(404, f"no model '{name[:80]}' here: the model is '{known}'", "model")


def _check_form(speech2text: Speech2Text, form: Form) -> None:
    if speech2text.guard is None and form.listed:
        raise Fault(422, "hotwords need a CTC head, and this model has none: leave them out", "hotwords")
    if speech2text.guard is None and "word" in form.timestamp_granularities:
        raise Fault(422, "times of words need a CTC head, and this model has none: ask for 'segment'")


def _check_language(speech2text: Speech2Text, language: str) -> None:
    if not _knows(speech2text, language):
        known = ", ".join(name for name in sorted(HAN_TABLES) if name and _knows(speech2text, name))
        raise Fault(422, f"language: no '{language}' in this model: give one of {known}, or leave it out", "language")


def _knows(speech2text: Speech2Text, language: str) -> bool:
    try:
        return speech2text.guard is None or bool(speech2text.guard.verifier.labelize("a", language))
    except ValueError:
        return False


def _job(file, form: Form, max_seconds: float) -> Tuple[Job, asyncio.Event]:
    """A job, and what it sets after each change. The file, which has no name on the disk, is read by its number."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def notify() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(changed.set)

    source = Source("upload", f"/dev/fd/{file.fileno()}", form.language)
    return Job(Recording(source, max_seconds), file, form.words, notify, lenient=not form.listed), changed


def _fault(job: Job, options: Options) -> Optional[Fault]:
    """Why a job that is done has no transcript."""
    if job.error is not None:
        is_theirs = isinstance(job.error, BadHotwords)
        return Fault(422, f"{job.error}", "hotwords") if is_theirs else Fault(500, "decoding failed; the log says why")
    return of_audio(job.recording.error, options.max_seconds) if job.recording.error else None


async def _wait_for(condition: Callable[[], object], request: Request, changed: asyncio.Event) -> bool:
    """Waits until a condition holds, looking whenever `changed` is set; False if the client goes away first."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        changed.set()

    watcher = asyncio.create_task(watch())
    while not condition() and not watcher.done():
        await changed.wait()
        changed.clear()
    watcher.cancel()
    return bool(condition())


async def _whole(request: Request, job: Job, changed: asyncio.Event, form: Form, options: Options) -> Response:
    """The answer when all is decoded; nobody reads it if the client goes away."""
    if not await _wait_for(lambda: job.is_done, request, changed):
        return Response(status_code=GONE)
    if fault := _fault(job, options):
        raise fault
    return answer(job.recording.transcript(), form.response_format, form.timestamp_granularities)


async def _stream(request: Request, job: Job, changed: asyncio.Event, form: Form, options: Options) -> Response:
    """Server-sent events; a fault before the first of them has a status of its own."""
    if not await _wait_for(lambda: job.is_done or job.recording.settled, request, changed):
        return Response(status_code=GONE)
    if fault := _fault(job, options) if job.is_done else None:
        raise fault
    return StreamingResponse(_events(job, changed, form, options), media_type="text/event-stream")


async def _events(job: Job, changed: asyncio.Event, form: Form, options: Options) -> AsyncIterator[str]:
    is_verbose, text, sent = form.response_format == "verbose_json", "", 0
    while True:
        is_done, settled = job.is_done, job.recording.settled  # in this order: what follows the second is not sent yet
        for number in range(sent, settled):
            segment = job.recording.segments[number]
            longer = joined([text, segment.hypothesis.text])
            if is_verbose or longer != text:
                yield delta_event(longer[len(text) :], number, segment, is_verbose)
            text, sent = longer, number + 1
        if is_done:
            break
        await changed.wait()
        changed.clear()
    fault = _fault(job, options)
    yield (
        event(fault.body) if fault else done_event(job.recording.transcript(), is_verbose, form.timestamp_granularities)
    )
