"""Speculation: tokens drafted from memory or from the text itself are read in one pass, and used as far as they hold.

The loop of `generator.py` draws every token from the target's own distribution after the tokens before it, with one
random number a token, drafted or not; a draft only decides how many rows of logits are there already. So the text is
that of plain decoding, and its distribution too, without any rule of rejection: a drafted token stays exactly when it
is the one drawn, which has its probability and is the most any rule could keep of a draft that is certain of itself
(Leviathan et al. 2023, with a point mass as the draft). "That of plain decoding" holds up to rounding: products of
several rows sum in another order than of one, some 5e-5 of a logit in fp32, and where two tokens are that close, the
texts part. Sampled from a whole vocabulary they do so about once in a thousand tokens: a draw by inverse of the sum
that falls among the many tokens of 1e-6 each is moved to a neighbour by 1e-6. Nothing has to be undone in the memory:
it is told of chosen tokens only.

Prior work: drafts from what was written already (prompt lookup; REST, He et al. 2311.08252; suffix decoding,
Oliaro et al. 2411.04975).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.generation.gain import LENGTHS, Costs, Gain
from groundup.generation.memory import Remembered
from groundup.nn.cache import KVCache
from groundup.nn.transformer import Transformer

Clock = Callable[[], float]  # seconds, from anywhere


@dataclass(slots=True)
class Tally:
    """What a generator has done since it was made: passes over one token, passes over drafts, and their tokens."""

    plain_steps: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0


class Ahead:
    """Logits after each token: already there if the token is the one that was drafted, else read now."""

    def __init__(
        self,
        model: Transformer,
        cache: KVCache,
        remembered: Remembered,
        can_go_on: Callable[[int], bool],
        costs: Costs,
        tally: Tally,
        clock: Clock = time.perf_counter,
    ) -> None:
        """can_go_on: false for tokens that end a text or can't be drawn: nothing is drafted from there on.

        costs, tally: of all texts of a generator; added to.
        """
        self._model, self._cache, self._remembered, self._can_go_on = model, cache, remembered, can_go_on
        self._costs, self._tally, self._clock = costs, tally, clock
        self._gains = [Gain(costs) for _ in remembered.drafters]  # each drafter has its own
        # A draft that isn't worth a pass is followed all the same, without rows: that measures acceptance for nothing.
        self._draft: list[int] = []
        self._drafter = 0  # whose it is
        self._match_length = 0  # when it was drafted
        self._place = 0  # of the draft's next token
        self._rows: Tensor | None = None  # (1 + drafted, V): after the token before the draft, and after each of its

    def after(self, token: int, left: int) -> Tensor:
        """(V,) logits after a token that the memory was told of. left: tokens that may still follow it, 1 or more."""
        if self._is_drafted(token) and self._rows is not None:
            self._tally.accepted += 1
            return self._rows[self._place]
        self._forget_rows()
        return self._read(token, self._next_draft(left))

    def _is_drafted(self, token: int) -> bool:
        if self._place == len(self._draft):
            return False
        accepted = token == self._draft[self._place]
        self._gains[self._drafter].judged(self._match_length, self._place, accepted)
        self._place += accepted
        if not accepted:
            self._draft = self._draft[: self._place]
        return accepted

    def _forget_rows(self) -> None:
        """Cuts the cache behind the last accepted token, where it was read further."""
        if self._rows is not None:
            rejected = len(self._rows) - 1 - self._place
            self._cache.truncate(self._cache.longest - rejected)
            self._rows, self._draft, self._place = None, [], 0

    def _next_draft(self, left: int) -> list[int]:
        drafters = self._remembered.drafters
        if not drafters:
            return []
        lengths = [drafter.match_length() for drafter in drafters]
        promised = [gain.expected_tokens(length, LENGTHS[0]) for gain, length in zip(self._gains, lengths, strict=True)]
        best = max(range(len(drafters)), key=promised.__getitem__)  # memory, where both promise as much
        worth_it = self._gains[best].best(lengths[best], left - 1) > 0
        if not worth_it and self._place < len(self._draft):
            return []  # the one that is followed goes on
        drafted = drafters[best].draft(LENGTHS[-1]) if lengths[best] else []
        end = next((at for at, token in enumerate(drafted) if not self._can_go_on(token)), len(drafted))
        self._draft, self._drafter, self._match_length, self._place = drafted[:end], best, lengths[best], 0
        return drafted[: self._gains[best].best(lengths[best], min(end, left - 1))]

    @torch.no_grad()
    def _read(self, token: int, draft: list[int]) -> Tensor:
        begun = self._clock()
        hidden = self._model(torch.tensor([[token, *draft]]), cache=self._cache)[0]  # (1 + drafted, C)
        rows = self._model.logits(hidden)
        self._costs.took(len(draft), self._clock() - begun)
        if draft:
            self._draft, self._rows = draft, rows
            self._tally.passes += 1
            self._tally.drafted += len(draft)
        else:
            self._tally.plain_steps += 1
        return rows[0]
