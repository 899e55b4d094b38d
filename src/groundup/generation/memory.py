"""What generation asks of a memory: another language model's word on the next token, and tokens to draft ahead.

The protocol is all that generation knows; whose texts are remembered, and how, is the memory's own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from groundup.generation.logits import Logits
from groundup.generation.own_text import OwnText

Target = Literal["decoder", "mixture"]  # whose distribution a text is drawn from


class Drafter(Protocol):
    """What may say how a text goes on: told the prompt, then every token that is chosen."""

    def draft(self, limit: int) -> list[int]:
        """Up to `limit` tokens that follow the longest match of the text so far, or none."""
        ...

    def match_length(self) -> int:
        """Tokens in that longest match."""
        ...

    def advance(self, token: int) -> None:
        """This token was chosen. Only ever forwards: drafted tokens come here once they are chosen."""
        ...


class Recall(Drafter, Protocol):
    """A memory beside one text."""

    def mix(self, logits: Logits) -> Logits:
        """ln p of the mixture + logsumexp(logits), (V,), for the decoder's (V,) logits after the same text.

        The very same array where memory has no say: then nothing is rounded, and nothing changes.
        """
        ...


class Memory(Protocol):
    def recall(self, prompt: Sequence[int]) -> Recall:
        """One for each generation. prompt: the tokens that the decoder reads, one or more."""
        ...


class Remembered:
    """What one generation does with memory: lets it speak (the target is the mixture), draft, both, or neither.

    Neither mixing nor drafting changes what the other does: a draft is checked against the target, whichever it is.
    drafters: memory, and the text itself; nobody where nothing is drafted.
    """

    def __init__(self, memory: Memory | None, prompt: Sequence[int], target: Target, *, speculate: bool) -> None:
        self._mixes = target == "mixture" and memory is not None
        self._recall = memory.recall(prompt) if memory is not None and (self._mixes or speculate) else None
        self._followers: list[Drafter] = [] if self._recall is None else [self._recall]
        if self._followers and speculate:
            self._followers.append(OwnText(prompt))
        self.drafters: Sequence[Drafter] = self._followers if speculate else ()

    def mix(self, logits: Logits) -> Logits:
        return self._recall.mix(logits) if self._recall is not None and self._mixes else logits

    def advance(self, token: int) -> None:
        for follower in self._followers:
            follower.advance(token)
