"""Memories made up for tests, slow and plain, and a clock that only they move."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from groundup.generation.generator import Generator
from groundup.generation.logits import Logits


class Plain:
    """Remembers texts: the longest match is looked for place by place, and mixed with a fixed weight."""

    def __init__(self, texts: Sequence[Sequence[int]], weight: float = 0.0) -> None:
        self.texts, self.weight = [list(text) for text in texts], weight
        self.recalls: list[PlainRecall] = []

    def recall(self, prompt: Sequence[int]) -> PlainRecall:
        self.recalls.append(PlainRecall(self, prompt))
        return self.recalls[-1]


class PlainRecall:
    def __init__(self, memory: Plain, prompt: Sequence[int]) -> None:
        self.memory, self.prompt, self.seen = memory, list(prompt), list(prompt)

    def longest(self) -> tuple[int, list[int]]:
        """(length, what follows), the first of equals."""
        best: tuple[int, list[int]] = (0, [])
        for text in self.memory.texts:
            for at in range(1, len(text)):
                length = 0
                while length < min(at, len(self.seen)) and text[at - 1 - length] == self.seen[-1 - length]:
                    length += 1
                if length > best[0]:
                    best = (length, text[at:])
        return best

    def mix(self, logits: Logits) -> Logits:
        length, following = self.longest()
        if not self.memory.weight or not length:
            return logits
        return mixed(logits, following[0], self.memory.weight)

    def draft(self, limit: int) -> list[int]:
        return self.longest()[1][:limit]

    def match_length(self) -> int:
        return self.longest()[0]

    def advance(self, token: int) -> None:
        self.seen.append(token)


def mixed(logits: Logits, token: int, weight: float) -> Logits:
    """ln((1 − w) p + w [token]) + logsumexp(logits), as the words say it."""
    total = np.log(np.exp(logits).sum())
    p = (1 - weight) * np.exp(logits - total)
    p[token] += weight
    return np.asarray(np.log(p) + total, dtype=np.float64)


class Oracle:
    """Drafts what it is told, with a long match always, and never speaks. `wrong`: places spoilt, counted in `told`."""

    def __init__(self, told: Sequence[int], wrong: Callable[[int], bool] = lambda _: False, length: int = 64) -> None:
        self.told, self.wrong, self.length, self.asked = list(told), wrong, length, 0

    def recall(self, prompt: Sequence[int]) -> OracleRecall:
        return OracleRecall(self)


class OracleRecall:
    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.at = oracle, 0

    def mix(self, logits: Logits) -> Logits:
        return logits

    def draft(self, limit: int) -> list[int]:
        self.oracle.asked += 1
        places = range(self.at, min(self.at + limit, len(self.oracle.told)))
        return [self.oracle.told[i] ^ self.oracle.wrong(i) for i in places]

    def match_length(self) -> int:
        return self.oracle.length

    def advance(self, token: int) -> None:
        self.at += 1


class PassClock:
    """A clock that forward passes move, by what they cost by rows. Its generator's model is counted from now on."""

    def __init__(self, made: Generator, cost: Callable[[int], float]) -> None:
        self.now, self.rows = 0.0, list[int]()
        forward = made.model.forward

        def counted(tokens, **options):  # type: ignore[no-untyped-def]
            self.rows.append(tokens.shape[1])
            self.now += cost(tokens.shape[1])
            return forward(tokens, **options)

        made.model.forward = counted  # type: ignore[method-assign]
        made._clock = lambda: self.now


def nearly_free(rows: int) -> float:
    """Any pass takes the time of one row: drafts always pay."""
    return 1.0


def measured(rows: int) -> float:
    """As two cores do: see generation/gain.py."""
    return 1.0 if rows == 1 else 1.8 + 0.02 * rows
