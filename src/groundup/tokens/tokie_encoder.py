"""tokie (0.1.4 looked at) for texts of which the ids of nearly all are known to be right: see index_encoder.py.

Three things it does would change ids unnoticed, and are kept from it here:
- a text that spells a special token is cut there and the id of that token used: special tokens are taken out first;
- a text or a run of blanks of 10,000 bytes or more is cut into as many parts as there are processors, wherever a space
  is, so ids depend on the machine: it gets pieces below that, cut where no pre-tokenizer joins anything;
- a byte that the vocabulary lacks becomes some other token, such as a line break: such texts are left to the original.
What remains is rare: GPT-2's contractions behind a tab ("\\t'result'", where the original sees "'re").
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundup.tokens.fast import Int32, Int64, without_specials

CUTS_ITSELF = 10_000  # bytes from which on it encodes a text in parts, one a processor
ASCII_CHARACTERS = 9_000  # of one piece
OTHER_CHARACTERS = 2_400  # of a text with characters beyond ASCII: at most four bytes each


class TokieEncoder:
    """Encodes many texts. Nothing is written, nothing asked of the network (strace)."""

    def __init__(self, definition: str) -> None:
        """definition: tokenizer.json as text. Raises what tokie raises for what it can't read, ValueError for what
        `without_specials` refuses, ImportError where it isn't installed."""
        import tokie

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.json"
            path.write_text(without_specials(definition), encoding="utf-8")
            self._tokie: Any = tokie.Tokenizer.from_json(str(path))

    def encode(self, pieces: Sequence[Sequence[str]]) -> tuple[Int32, Int64]:
        """(ids of all texts in a row, number of ids of each text); each text as `split` gives it."""
        ids, lengths = self._tokie.encode_batch_flat(
            [piece for text in pieces for piece in text], add_special_tokens=False
        )
        begins = np.cumsum([0, *(len(text) for text in pieces)])[:-1]  # each text has a piece, if only an empty one
        counts = np.add.reduceat(np.asarray(lengths, np.int64), begins) if len(pieces) else np.zeros(0, np.int64)
        return np.asarray(ids, np.uint32).view(np.int32), counts


def split(text: str) -> list[str] | None:
    """Pieces of fewer than `CUTS_ITSELF` bytes that give the same tokens as the whole; None where there is no place to
    cut at."""
    width = ASCII_CHARACTERS if text.isascii() else OTHER_CHARACTERS
    pieces: list[str] = []
    begin = 0
    while len(text) - begin > width:
        end = begin + width
        while end > begin and not _separate(text, end):
            end -= 1
        if end == begin:
            return None
        pieces.append(text[begin:end])
        begin = end
    return [*pieces, text[begin:]]


def _separate(text: str, place: int) -> bool:
    """Whether every pre-tokenizer in use (GPT-2, cl100k, Qwen2, with or without digits apart) begins a new word there:
    at a space or line break behind a letter or digit, and at the last of several blanks, a space, before what is no
    digit."""
    here, before = text[place], text[place - 1]
    if here in " \n" and before.isalnum():
        return True
    after = text[place + 1 : place + 2]
    return here == " " and before in " \n" and not (after.isspace() or after.isnumeric() or not after)
