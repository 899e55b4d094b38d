"""Bytes of tokens to text that may be shown: whole characters only, and nothing that could still become a stop string.

The text that comes out doesn't depend on where the borders between tokens lie.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Feed it tokens' bytes; it returns text as soon as that text is certain.

    The text ends before the first stop string: the one that is complete first, and of those complete at the same
    character the longest. `stopped` says that one was found; nothing comes out after that.
    Bytes that are no UTF-8 become U+FFFD; a character that the end cuts through is left out.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(stop)
        self._longest = max(map(len, self._stop), default=0)
        self._held = ""  # starts where a stop string could still start
        self.stopped = False

    def feed(self, data: bytes) -> str:
        """Text that has become certain with these bytes; may be empty."""
        return self._release(self._decoder.decode(data))

    def finish(self) -> str:
        """What was held back, when no more bytes will come."""
        text, self._held = self._held, ""
        return text

    def _release(self, new: str) -> str:
        if self.stopped:
            return ""
        searched = len(self._held)  # no stop string is complete before here
        text = self._held + new
        cut = self._first_stop(text, searched)
        if cut is not None:
            self.stopped, self._held = True, ""
            return text[:cut]
        keep = self._may_start(text)
        self._held = text[keep:]
        return text[:keep]

    def _first_stop(self, text: str, searched: int) -> int | None:
        """Start of the stop string that ends first (the longest of those), or None."""
        best: tuple[int, int] | None = None
        for stop in self._stop:
            start = text.find(stop, max(0, searched - len(stop) + 1))
            if start >= 0:
                found = (start + len(stop), start)
                best = found if best is None else min(best, found)
        return None if best is None else best[1]

    def _may_start(self, text: str) -> int:
        """The first position from which the rest of the text is the beginning of a stop string."""
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if any(stop.startswith(text[at:]) for stop in self._stop):
                return at
        return len(text)
