"""Texts in, vectors out: one class for brought encoders and those trained here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from groundup import machine
from groundup.errors import ModelError
from groundup.nn.encode import Pooling, embed, pad
from groundup.nn.int8 import to_int8
from groundup.nn.transformer import Transformer
from groundup.progress import Progress, silent

Kind = Literal["query", "document"]
NumberFormat = Literal["fp32", "bf16", "int8"]
TokenizeMany = Callable[[Sequence[str]], list[list[int]]]  # ids of each text, special ones and truncation included

# Texts of a round are sorted by length and batched with their like. Rounds bound what is held as ids at a time, and
# give progress; sorting more than this saves little padding.
ROUND_TEXTS = 4096
BATCH_TOKENS = 4096  # at most in one batch, padding included: activations stay within the caches of a few cores
MIN_BATCH_TOKENS = 512  # from here on a batch ends before a text that would be padded by more than MAX_PADDING
MAX_PADDING = 0.1  # of the longest in the batch


class SentenceEncoder:
    """A bidirectional Transformer, its tokenizer and its pooling.

    dim: numbers per vector. max_tokens: a longer text is cut there. prompts: what is put before a text, by kind.
    digest: identity of weights, tokenizer and settings: vectors of equal digest may stand in one index.
    """

    def __init__(
        self,
        name: str,
        model: Transformer,
        tokenize: TokenizeMany,
        *,
        max_tokens: int,
        pooling: Pooling = "mean",
        normalise: bool = True,
        prompts: Mapping[str, str] | None = None,
        padding_id: int = 0,
        digest: str = "",
        license: str = "unknown",
        source: str = "",
    ) -> None:
        self.name, self.digest, self.license, self.source = name, digest, license, source
        self.dim, self.max_tokens = model.config.width, max_tokens
        self.model = model.eval()
        self.pooling, self.normalise, self.prompts = pooling, normalise, dict(prompts or {})
        self.padding_id = padding_id
        self._tokenize = tokenize

    def use_format(self, number_format: NumberFormat) -> SentenceEncoder:
        """Itself, computing in another format from fp32, in place; its digest changes with its vectors.

        int8: matrices and what they read in eight bits, everywhere faster. bf16: all of it, faster only where the
        processor multiplies bf16. Raises ModelError elsewhere, where it takes a hundred times as long.
        """
        if number_format == "fp32":
            return self
        if number_format == "bf16" and machine.profile().best_format != "bf16":
            wrong = "its vectors are made in bf16, which is slow on this processor"
            raise ModelError(wrong, mend="Run again with encoder_format int8", place=self.source or self.name)
        assert next(self.model.parameters()).dtype == torch.float32, "formats are reached from fp32"
        self.model = to_int8(self.model) if number_format == "int8" else self.model.to(torch.bfloat16)
        self.digest = hashlib.sha256(f"{self.digest}:{number_format}".encode()).hexdigest()
        return self

    def encode(
        self,
        texts: Sequence[str],
        *,
        kind: Kind = "document",
        batch_size: int = 32,
        progress: Progress = silent,
    ) -> npt.NDArray[np.float32]:
        """(N, dim) float32, unit rows if the model normalises. A row is its text's alone, whatever stands beside it.

        A text without any token is a row of zeros, as sentence-transformers has it: near nothing.

        batch_size: texts per batch; long ones make it smaller. Batches that need no padding have none.
        """
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        prompt, done = self.prompts.get(kind, ""), 0
        for begin in range(0, len(texts), ROUND_TEXTS):
            ids = self._tokenize([prompt + text for text in texts[begin : begin + ROUND_TEXTS]])
            for batch in self._batches(ids, batch_size):
                if ids[batch[0]]:  # rows by falling length: where the first has none, none has
                    batch_ids = [ids[row] for row in batch if ids[row]]
                    vectors[[begin + row for row in batch if ids[row]]] = self._embed(batch_ids)
                done += len(batch)
                progress("embed", done, len(texts))
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens the model would read of each text, special ones included, after cutting at max_tokens."""
        return [len(ids) for ids in self._tokenize(texts)]

    def _batches(self, ids: list[list[int]], batch_size: int) -> list[list[int]]:
        """Rows by falling length, so that a batch is padded little and lack of memory shows at once."""
        batches: list[list[int]] = []
        longest = 0
        for row in sorted(range(len(ids)), key=lambda row: (-len(ids[row]), row)):
            rows = len(batches[-1]) if batches else 0
            full = rows >= batch_size or (rows + 1) * longest > BATCH_TOKENS
            apart = rows * longest >= MIN_BATCH_TOKENS and len(ids[row]) < (1 - MAX_PADDING) * longest
            if not batches or full or apart:
                batches.append([])
                longest = len(ids[row])
            batches[-1].append(row)
        return batches

    @torch.inference_mode()
    def _embed(self, rows: list[list[int]]) -> npt.NDArray[np.float32]:
        tokens, lengths = pad(rows, self.padding_id)
        device = self.model.embedding.weight.device
        even = bool((lengths == tokens.shape[1]).all())  # no padding, no mask: the faster kernel
        vectors = embed(
            self.model,
            tokens.to(device),
            None if even else lengths.to(device),
            pooling=self.pooling,
            normalise=self.normalise,
        )
        result: npt.NDArray[np.float32] = vectors.float().cpu().numpy()
        return result
