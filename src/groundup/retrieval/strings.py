"""Many strings as one file that is mapped, not read: UTF-8 bytes end to end, and where each begins.

Opening costs nothing however many there are; a sorted table also answers "which row is this string" by bisection.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Strings(Sequence[str]):
    """`data`: uint8, `offsets`: (N+1,) int64. Both may be memory-mapped."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: Iterable[str]) -> Strings:
        # surrogatepass: a lone surrogate in a document's text must come back as it was, not stop an index.
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(value) for value in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        return self.bytes_at(index).decode("utf-8", "surrogatepass")

    def bytes_at(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def between(self, start: int, end: int) -> list[str]:
        """Rows start … end − 1."""
        base = int(self.offsets[start])
        block = self.data[base : self.offsets[end]].tobytes()
        places = (self.offsets[start : end + 1] - base).tolist()
        return [block[a:b].decode("utf-8", "surrogatepass") for a, b in itertools.pairwise(places)]

    def find_sorted(self, value: str) -> int:
        """Row of `value` in a table sorted by code points (which is the order of UTF-8 bytes), or -1."""
        wanted = value.encode("utf-8", "surrogatepass")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.bytes_at(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self.bytes_at(low) == wanted else -1
