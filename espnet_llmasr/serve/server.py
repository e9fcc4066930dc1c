"""Runs the server until a signal ends it."""

import logging
import signal
import socket

import numpy as np
import uvicorn

from espnet_llmasr.serve.app import Options, build_app
from espnet_llmasr.serve.batcher import Batcher
from espnet_llmasr.serve.form import Uploads


def bind(host: str, port: int) -> socket.socket:
    """A socket that does not listen yet: a port that is taken is found before the model is loaded.

    Raises:
        ValueError: no such address, or it is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        raise ValueError(f"cannot listen on {host}, port {port} ({error}): give another --port or --host") from error
    return listener


class Server(uvicorn.Server):
    """Gives up the uploads that are not complete when it ends; uvicorn would wait for them."""

    def __init__(self, config: uvicorn.Config, uploads: Uploads):
        super().__init__(config)
        self.uploads = uploads

    async def shutdown(self, sockets=None) -> None:
        self.uploads.end()
        await super().shutdown(sockets)


def serve(listener: socket.socket, batcher: Batcher, options: Options) -> None:
    """Answers until SIGTERM or SIGINT, and then what is in flight; a second SIGINT ends at once."""
    uploads = Uploads()
    app = build_app(batcher, options, uploads)
    config = uvicorn.Config(app, http="h11", ws="none", log_config=None, access_log=False, server_header=False)
    server = Server(config, uploads)

    def end(*_) -> None:  # before uvicorn has handlers of its own; it sends a signal once more, when all is answered
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    silence = np.zeros(batcher.rate, np.float32)
    batcher.speech2text.decode([silence], [""])  # what is loaded at the first use, is loaded now
    if batcher.speech2text.guard is not None:
        batcher.speech2text.guard.verifier.labelize("1 一1", "")
    with batcher:
        host, port = listener.getsockname()[:2]
        logging.info("listening on http://%s:%d as '%s'", f"[{host}]" if ":" in host else host, port, options.name)
        server.run([listener])
    logging.info("ended: everything is answered")
