"""Which positions see which: one description, read by every way of computing attention.

Queries are the `new` last of `past + new` positions; keys are all of them. A position sees another if every rule that
is set allows it, and always itself: a row of padding would otherwise see nothing, and softmax makes no number of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mask:
    """The rules of one forward pass. B rows, T new positions, S positions in all.

    past: how many keys stand before the first query; a (B,) tensor where rows hold different numbers of them.
    """

    new: int
    past: int | Tensor = 0
    causal: bool = True
    window: int = 0  # sees positions at most this far away; 0: any
    prefix: Tensor | None = None  # (B,): in a causal model, the first positions, which all see each other
    real: Tensor | None = None  # (B, S) bool: False marks padding, which nobody sees
    documents: Tensor | None = None  # (B, S) integers: positions see only those of their own number

    @property
    def keys(self) -> int:
        """S, the longest row's."""
        return self.new + (self.past if isinstance(self.past, int) else int(self.past.max()))

    @property
    def by_row(self) -> bool:
        """Whether rows of the batch see differently."""
        return any(isinstance(rule, Tensor) for rule in (self.past, self.prefix, self.real, self.documents))

    @property
    def everything(self) -> bool:
        """Whether everybody sees everybody."""
        last = self.new == 1 and isinstance(self.past, int)  # one query behind all keys
        return (not self.causal or last) and not self._narrowed

    @property
    def triangle(self) -> bool:
        """Whether it is the plain causal triangle, which kernels know: they skip its empty half."""
        return self.causal and isinstance(self.past, int) and self.past == 0 and not self._narrowed

    @property
    def end_of_cache(self) -> bool:
        """Whether one causal query with a window, and no other rule, stands behind all keys."""
        others = self.prefix is not None or self.real is not None or self.documents is not None
        return self.causal and self.new == 1 and isinstance(self.past, int) and self.window > 0 and not others

    @property
    def _narrowed(self) -> bool:
        reaches = bool(self.window) and self.window < self.keys - 1
        return reaches or self.prefix is not None or self.real is not None or self.documents is not None

    def seen_from(self, first: int, last: int) -> slice:
        """Keys beyond which none of the queries first to last − 1 sees anything."""
        if not isinstance(self.past, int) or self.prefix is not None:
            return slice(0, self.keys)
        at, end = self.past + first, self.past + last
        ahead = 0 if self.causal else self.window or self.keys
        return slice(max(0, at - self.window) if self.window else 0, min(self.keys, end + ahead))

    def windowed(self, window: int) -> Mask:
        return self if window == self.window else replace(self, window=window)

    def allows(self, row: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """The rules themselves, on any shapes that broadcast: row of the batch, index of query (0 to T − 1) and key."""
        at = query + (self.past if isinstance(self.past, int) else self.past[row])
        seen = key <= at if self.causal else torch.ones_like(key <= at)
        if self.prefix is not None:
            seen = seen | (key < self.prefix[row]) & (at < self.prefix[row])
        if self.window:
            seen = seen & ((at - key).abs() <= self.window)
        if self.real is not None:
            seen = seen & self.real[row, key]
        if self.documents is not None:
            seen = seen & (self.documents[row, at] == self.documents[row, key])
        return seen | (key == at)

    def dense(self, batch: int, device: torch.device) -> Tensor:
        """(B or 1, 1, T, S) bool, True where attention is allowed."""
        row = torch.arange(batch if self.by_row else 1, device=device)[:, None, None, None]
        query = torch.arange(self.new, device=device)[:, None]
        return self.allows(row, query, torch.arange(self.keys, device=device))


def real_positions(lengths: Tensor, positions: int) -> Tensor:
    """(B, S) bool, True for the first lengths[b] positions of row b: padding at the right."""
    return torch.arange(positions, device=lengths.device) < lengths[:, None]
