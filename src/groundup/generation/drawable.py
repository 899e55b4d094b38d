"""Which tokens of a model may be drawn, and its logits as numbers to draw from."""

from __future__ import annotations

import numpy as np
import torch

from groundup.errors import ModelError
from groundup.generation.logits import Logits
from groundup.tokens.tokenizer import Tokenizer


class Drawable:
    """Of a tokenizer and a model with `rows` rows of logits.

    A special token that is no end would show nothing (padding, mask, the head of a chat turn), and a model may have
    more rows than its vocabulary has tokens. None of these is ever drawn.
    """

    def __init__(self, tokenizer: Tokenizer, rows: int) -> None:
        self._tokenizer = tokenizer
        separator = tokenizer.separator_id
        self.ends = frozenset([*tokenizer.eos_ids, *([] if separator is None else [separator])])
        self.silent = np.array([i for i in range(rows) if self._shows_nothing(i) and i not in self.ends], np.int64)

    def logits(self, row: torch.Tensor) -> Logits:
        """(V,) as float64. Raises ModelError if they are no numbers."""
        values: Logits = row.to(torch.float64).numpy(force=True)
        if not np.isfinite(values.max()):
            mend = "Its weights are broken or its number format overflows: load it again in fp32"
            raise ModelError("the model computes something that is no number", mend=mend)
        return values

    def without_silent(self, logits: Logits) -> Logits:
        if not len(self.silent):
            return logits
        out = logits.copy()
        out[self.silent] = -np.inf
        return out

    def goes_on(self, token: int) -> bool:
        """Whether a text can go on with this token: it can be drawn, and ends nothing."""
        return token >= 0 and token not in self.ends and not self._shows_nothing(token)

    def _shows_nothing(self, token: int) -> bool:
        return token >= self._tokenizer.vocab_size or not self._tokenizer.token_bytes[token]
