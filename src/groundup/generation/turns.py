"""Who generates next: one at a time, first come first served, with a bound on how many may wait.

Two generations at once on the same cores take as long as one after the other, and each would feel twice as slow.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from groundup.errors import RequestError

CANCEL_EVERY = 0.05  # seconds between looks at whether a waiting client has left


class Cancelled(Exception):  # noqa: N818  not an error: nobody waits for the answer any more
    """The client has left."""


def never() -> bool:
    return False


class Turns:
    """A fair queue. threading.Lock alone promises no order."""

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()  # the first has its turn, the others wait

    @property
    def waiting(self) -> int:
        """How many wait, the one at work not counted."""
        return max(0, len(self._queue) - 1)

    @property
    def busy(self) -> bool:
        return bool(self._queue)

    @contextmanager
    def turn(self, cancelled: Callable[[], bool] = never) -> Iterator[None]:
        """Waits for a turn and holds it. Raises RequestError (status 429) if too many wait, Cancelled if told to."""
        ticket = object()
        with self._changed:
            if len(self._queue) > self._limit:
                wrong = f"{self._limit} requests wait already"
                raise RequestError(wrong, mend="Try again in a few seconds.", status=429)
            self._queue.append(ticket)
        try:
            with self._changed:
                while self._queue[0] is not ticket:
                    if cancelled():
                        raise Cancelled
                    self._changed.wait(CANCEL_EVERY)
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()
