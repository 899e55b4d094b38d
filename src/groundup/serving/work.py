"""Slow work in threads, so that the event loop goes on answering, and stopped when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

from anyio import to_thread
from starlette.requests import Request

from groundup.errors import RequestError
from groundup.serving.observe import trace_of

T = TypeVar("T")
Cancelled = Callable[[], bool]
HEARTBEAT = 10.0  # seconds of silence after which a stream says that it is alive


class Stopping:
    """Set when the server is told to stop: what runs ends early, what comes is refused."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def refuse(self) -> None:
        if self:
            raise RequestError("the server is stopping", mend="Ask again once it is back.", status=503)


async def in_thread(request: Request, function: Callable[[Cancelled], T]) -> T:
    """function(cancelled) in a worker thread. `cancelled()` turns true when the client leaves or the server stops."""
    stopping: Stopping = request.app.state.stopping
    stopping.refuse()
    async with _watched(request) as cancelled:
        result = await to_thread.run_sync(function, cancelled)
    stopping.refuse()  # whatever came back was cut short
    return result


async def stream(request: Request, items: Callable[[Cancelled], Iterator[T]]) -> AsyncIterator[T | None]:
    """Items as a worker thread makes them; None after HEARTBEAT seconds without one. Errors of the thread are raised.

    Memory is bounded by the generation's length: the thread doesn't wait for a slow reader, others wait for its turn.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[tuple[str, T | Exception | None]] = asyncio.Queue()

    def put(kind: str, value: T | Exception | None) -> None:
        # RuntimeError: the loop is closed, nobody reads any more.
        try:
            loop.call_soon_threadsafe(ready.put_nowait, (kind, value))
        except RuntimeError:
            return

    def pump(cancelled: Cancelled) -> None:
        try:
            for item in items(cancelled):
                put("item", item)
                if cancelled():
                    break
        except Exception as error:  # handed to the reader, who maps it
            put("error", error)
        else:
            put("end", None)

    async with _watched(request) as cancelled:
        task = asyncio.create_task(to_thread.run_sync(pump, cancelled))
        request.app.state.background.add(task)  # a task nobody holds may be collected
        task.add_done_callback(request.app.state.background.discard)
        while True:
            try:
                kind, value = await asyncio.wait_for(ready.get(), HEARTBEAT)
            except TimeoutError:
                yield None
                continue
            if kind == "end":
                break
            if isinstance(value, Exception):
                raise value
            yield value
    request.app.state.stopping.refuse()


@asynccontextmanager
async def _watched(request: Request) -> AsyncIterator[Cancelled]:
    """Gives `cancelled`; listens for the client's leaving, which only `receive` tells."""
    left = threading.Event()
    stopping: Stopping = request.app.state.stopping

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left.set()
        trace_of(request).aborted = True

    watcher = asyncio.create_task(watch())
    try:
        yield lambda: left.is_set() or bool(stopping)
    except (asyncio.CancelledError, GeneratorExit):
        trace_of(request).aborted = True
        raise
    finally:
        left.set()
        watcher.cancel()
