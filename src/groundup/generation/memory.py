"""What generation asks of a memory: another language model's word on the next token, and tokens to draft ahead.

The protocol is all that generation knows; whose texts are remembered, and how, is the memory's own affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from groundup.generation.logits import Logits

Target = Literal["decoder", "mixture"]  # whose distribution a text is drawn from


class Recall(Protocol):
    """A memory beside one text: the prompt, then every token that is chosen."""

    def mix(self, logits: Logits) -> Logits:
        """ln p of the mixture + logsumexp(logits), (V,), for the decoder's (V,) logits after the same text.

        The very same array where memory has no say: then nothing is rounded, and nothing changes.
        """
        ...

    def draft(self, limit: int) -> list[int]:
        """Up to `limit` tokens that follow the longest match of the text so far, or none."""
        ...

    def match_length(self) -> int:
        """Tokens in that longest match."""
        ...

    def advance(self, token: int) -> None:
        """This token was chosen. Only ever forwards: drafted tokens come here once they are chosen."""
        ...


class Memory(Protocol):
    def recall(self, prompt: Sequence[int]) -> Recall:
        """One for each generation. prompt: the tokens that the decoder reads, one or more."""
        ...


class Remembered:
    """What one generation does with memory: lets it speak (the target is the mixture), draft, both, or neither.

    Neither mixing nor drafting changes what the other does: a draft is checked against the target, whichever it is.
    """

    def __init__(self, memory: Memory | None, prompt: Sequence[int], target: Target, *, speculate: bool) -> None:
        self._mixes, self.drafts = target == "mixture" and memory is not None, speculate and memory is not None
        self._recall = memory.recall(prompt) if memory is not None and (self._mixes or self.drafts) else None

    def mix(self, logits: Logits) -> Logits:
        return self._recall.mix(logits) if self._recall is not None and self._mixes else logits

    def draft(self, limit: int) -> list[int]:
        return self._recall.draft(limit) if self._recall is not None and self.drafts else []

    def match_length(self) -> int:
        return self._recall.match_length() if self._recall is not None and self.drafts else 0

    def advance(self, token: int) -> None:
        if self._recall is not None:
            self._recall.advance(token)
