"""Reading the prompt: in blocks of a fixed size, so that a next request with the same beginning need not read it again.

A block's keys and values depend only on its tokens and those before it, and blocks are always cut at the same places:
what is reused is, bit for bit, what would be computed anew. So the same request gives the same text, whatever was asked
before. Generated tokens are computed one at a time, round differently, and are therefore never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from groundup.generation.turns import Cancelled, never
from groundup.nn.cache import KVCache
from groundup.nn.transformer import Transformer

BLOCK = 128  # positions read at once: large enough for full speed, small enough to notice a client that left
ROOM = 512  # a cache is made for a multiple of this, so that a conversation grows in the same one


class PrefixCache:
    """One cache of keys and values and the tokens whose blocks it holds."""

    def __init__(self, model: Transformer) -> None:
        self._model = model
        self._cache: KVCache | None = None
        self._tokens: list[int] = []  # whole blocks that were read as a prompt

    @property
    def tokens(self) -> int:
        """Positions that could be reused."""
        return len(self._tokens)

    @torch.no_grad()  # not inference_mode: the model keeps its rotation table, and may be trained on later
    def read(
        self, prompt: Sequence[int], capacity: int, cancelled: Callable[[], bool] = never
    ) -> tuple[Tensor, KVCache, int]:
        """Reads a prompt of one token or more.

        Returns logits after its last token (V,), the cache that now holds it with room for `capacity` positions, and
        how many positions were reused. The cache is this object's own: one reader at a time. Raises Cancelled.
        """
        cache = self._with_room(capacity)
        # The last token is always read: its logits are what the caller wants.
        reused = min(_common(self._tokens, prompt), len(prompt) - 1) // BLOCK * BLOCK
        cache.truncate(reused)
        self._tokens = list(prompt[:reused])
        hidden = None
        for start in range(reused, len(prompt), BLOCK):
            if cancelled():
                raise Cancelled
            block = list(prompt[start : start + BLOCK])
            hidden = self._model(torch.tensor([block]), cache=cache)  # (1, T, C)
            if len(block) == BLOCK:
                self._tokens += block
        assert hidden is not None
        return self._model.logits(hidden[:, -1])[0], cache, reused

    def forget(self) -> None:
        self._cache, self._tokens = None, []

    def _with_room(self, capacity: int) -> KVCache:
        if self._cache is None or self._cache.capacity < capacity:
            room = -(-capacity // ROOM) * ROOM
            parameter = next(self._model.parameters())
            self._cache = KVCache.empty(self._model.config, 1, room, parameter.dtype, parameter.device)
            self._tokens = []  # not copied over: growing happens once in ROOM positions
        return self._cache


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count
