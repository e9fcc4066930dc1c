"""Who may come in: keys, and how many requests at a time; every transcription is counted and logged when it ends."""

import hmac
import logging
import math
import os
import time
from typing import Tuple

from fastapi import Request

from espnet_llmasr.serve.batcher import Batcher
from espnet_llmasr.serve.faults import Fault
from espnet_llmasr.serve.metrics import Metrics

KEYS = "LLMASR_API_KEYS"  # environment variable: keys divided by commas
TRANSCRIPTIONS = "/v1/audio/transcriptions"
LONGEST_RETRY_S = 60
GONE = 499  # in the log and the metrics: the client went away


def read_keys() -> Tuple[bytes, ...]:
    """The keys in the environment; none if the variable is not set. Raises ValueError if it holds none."""
    if KEYS not in os.environ:
        return ()
    keys = tuple(key.strip().encode() for key in os.environ[KEYS].split(",") if key.strip())
    if not keys:
        raise ValueError(f"{KEYS} is set, but holds no key: write keys divided by commas, or unset it")
    return keys


class Keys:
    """A dependency that raises Fault 401 without one of the keys, if there are any."""

    def __init__(self, keys: Tuple[bytes, ...]):
        self.keys = keys

    def __call__(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        given = given.encode("latin-1") if scheme.lower() == "bearer" else b""  # the bytes that were sent
        matches = [hmac.compare_digest(given, key) for key in self.keys]  # all of them: the time tells nothing
        if self.keys and not any(matches):
            raise Fault(401, "no valid key: send the header 'Authorization: Bearer KEY'", WWW_Authenticate="Bearer")


class Gate:
    """ASGI around `app`: at most `max_waiting` transcriptions at a time, 429 for more.

    A request leaves its job in its state, as `job`; the job ends with the request.
    """

    def __init__(self, batcher: Batcher, max_waiting: int):
        self.batcher, self.max_waiting, self.app = batcher, max_waiting, None
        self.taken = self.finished = 0
        self.metrics = Metrics(batcher.work, lambda: self.taken)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] != TRANSCRIPTIONS or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        if self.taken >= self.max_waiting:
            message = f"{self.taken} requests are waiting already: try again later"
            self.metrics.requests.labels(429).inc()
            return await Fault(429, message, Retry_After=str(self.retry_s)).response(scope, receive, send)
        started, status, state = time.monotonic(), GONE, scope.setdefault("state", {})

        async def observed(message):
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.taken += 1
        self.batcher.coming += 1
        try:
            await self.app(scope, receive, observed)
        finally:
            job = state.get("job")
            if job is None:
                self.batcher.coming -= 1
            else:
                status = status if job.is_done else GONE
                self.batcher.cancel(job)
            self.taken -= 1
            self.finished += 1
            self.metrics.requests.labels(status).inc()
            self.metrics.seconds.observe(time.monotonic() - started)
            speech_s = job.recording.seconds if job else 0.0
            logging.info("%d: %.1f s of speech in %.2f s", status, speech_s, time.monotonic() - started)

    @property
    def retry_s(self) -> int:
        """The decoding time of a request, in whole seconds, after which a place may be free."""
        return min(LONGEST_RETRY_S, max(1, math.ceil(self.batcher.work.busy_s / max(1, self.finished))))
