"""Listening: one process, one socket, and an orderly end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from groundup.errors import RecipeError

GRACE = 10  # seconds that running requests get to end after the server was told to stop


class Server(uvicorn.Server):
    """uvicorn's, which tells running generations to end before it waits for them.

    ready: called once it accepts connections and its signal handlers are in place; not if it is told to stop before.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.stopping.set()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises RecipeError if the address can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        mend = "Choose another with --host and --port; --port 0 takes a free one."
        raise RecipeError(f"can't listen there ({error.strerror})", place=f"{host}:{port}", mend=mend) from None
    return opened


def make_server(app: FastAPI, ready: Callable[[], None] = lambda: None) -> Server:
    # No access log: the request log and the metrics hold more. No server header: it helps nobody who should be helped.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE,
        ws="none", lifespan="off", proxy_headers=False,
    )  # fmt: skip
    return Server(config, ready)


def serve(
    app: FastAPI, host: str = "127.0.0.1", port: int = 8000, *, ready: Callable[[str], None] = lambda _: None
) -> None:
    """Serves until SIGINT or SIGTERM, then returns. ready: called with the URL once requests are answered and a
    signal ends it in good order."""
    with listen(host, port) as opened:
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{opened.getsockname()[1]}"
        server = make_server(app, lambda: ready(url))
        with _signals_end_quietly(server):
            server.run(sockets=[opened])


@contextmanager
def _signals_end_quietly(server: Server) -> Iterator[None]:
    """uvicorn raises the signal that ended it once more; the caller still has files to close.

    A signal that comes before uvicorn's own handlers are in place still ends the server: as soon as it has started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
