"""Batches of token windows as a pure function of (seed, step): no state to save, any step can be asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from groundup.errors import CorpusError
from groundup.tokens.shards import Shards

Int64 = npt.NDArray[np.int64]


class Batches:
    """Windows of `length` tokens from the whole stream, shuffled anew each epoch.

    The stream is read as a ring and cut at a start drawn per epoch, so windows fall differently each time, and every
    token is a target exactly once an epoch but for fewer than `length` of them, other ones each time. Windows run
    across documents: with a separator between them the model learns to start afresh, and no padding is computed.
    """

    def __init__(self, shards: Shards, batch: int, length: int, seed: int) -> None:
        if len(shards.tokens) < 2:
            raise CorpusError("there are no tokens to train on", mend="Name more sources, or loosen the filters")
        self._tokens = shards.tokens
        self.batch, self.length, self.seed = batch, length, seed
        self.windows = max(1, len(self._tokens) // length)  # an epoch's
        self._drawn: tuple[int, int, Int64] | None = None  # the epoch last asked for: a memo, not a state

    @property
    def steps_per_epoch(self) -> float:
        return self.windows / self.batch

    def at(self, step: int) -> tuple[Int64, Int64]:
        """(tokens, targets) of one step, each (batch, length): targets[b, t] follows tokens[b, t]."""
        rows = [self._window(step * self.batch + row) for row in range(self.batch)]
        stacked = np.stack(rows)
        return stacked[:, :-1], stacked[:, 1:]

    def _window(self, number: int) -> Int64:
        epoch, place = divmod(number, self.windows)
        start, order = self._epoch(epoch)
        first = start + int(order[place]) * self.length
        return np.take(self._tokens, np.arange(first, first + self.length + 1), mode="wrap").astype(np.int64)

    def _epoch(self, epoch: int) -> tuple[int, Int64]:
        """(start on the ring, order of the windows): 8 bytes a window, 3 MB for 100 M tokens of 256."""
        if self._drawn is None or self._drawn[0] != epoch:
            random = np.random.default_rng([self.seed, epoch])
            self._drawn = (epoch, int(random.integers(len(self._tokens))), random.permutation(self.windows))
        return self._drawn[1], self._drawn[2]
