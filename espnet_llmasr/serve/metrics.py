"""Figures for Prometheus: requests and their time by status, speech, decoding time, batches, who waits."""

from typing import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily

from espnet_llmasr.serve.batcher import Work

SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300, 1800)


class Metrics:
    """`text` is the page of /metrics."""

    def __init__(self, work: Work, waiting: Callable[[], int]):
        self.work, self.registry = work, CollectorRegistry()
        self.requests = Counter("llmasr_requests", "transcription requests", ["status"], registry=self.registry)
        self.seconds = Histogram(
            "llmasr_request_seconds", "from the first byte of a request to the last of its answer",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        Gauge("llmasr_waiting", "requests that wait or are decoded", registry=self.registry).set_function(waiting)
        self.registry.register(self)

    def collect(self):
        """The figures of the decoding thread."""
        texts = dict(
            batches="batches", pieces="pieces of recordings in them", speech_s="seconds of speech decoded",
            busy_s="seconds of decoding",
        )  # fmt: skip
        for name, text in texts.items():
            unit = name.replace("_s", "_seconds") if name.endswith("_s") else name
            yield CounterMetricFamily(f"llmasr_{unit}", text, value=getattr(self.work, name))

    @property
    def text(self) -> bytes:
        return generate_latest(self.registry)
