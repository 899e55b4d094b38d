"""A built llama.cpp, asked through the server inside the package xllamacpp; and what it is compared on.

Tests skip where the package isn't installed: pytest.importorskip("xllamacpp") stands before this module's import.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xllamacpp

TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = (
    *("The capital of France is", "Once upon a time, there was a", "def fibonacci(n):\n", "import os\nimport sys\n\n"),
    *("Water boils at", "The quick brown fox", "In 1969, the first", "SELECT name, price FROM", "# Install\n\nRun"),
    *("Q: What is 12 + 30?\nA:", "Dear Sir or Madam,\n", "The three primary colours are", "<html>\n<head>\n"),
    *(
        TURN.format(text)
        for text in (
            "What is a suffix array?", "Write a haiku about rain.", "Name five animals.", "Why is the sky blue?",
            "Write a Python function that reverses a list.", "Translate 'good morning' to French.", "Tell me a joke.",
        )
    ),
)  # fmt: skip


class LlamaCpp:
    """One loaded model; its keys and values are cached in fp32. Raises RuntimeError if llama.cpp refuses the file."""

    def __init__(self, path: Path, *, context: int = 512, threads: int = 1) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.n_gpu_layers = context, 1, 0
        params.warmup, params.verbosity = False, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.server = xllamacpp.Server(params)

    def ask(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            self.server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            return json.loads(reply.read())

    def tokenize(self, text: str, *, specials: bool = False, begin: bool = False) -> list[int]:
        tokens: list[int] = self.ask("/tokenize", content=text, parse_special=specials, add_special=begin)["tokens"]
        return tokens

    def continued(self, prompt: Sequence[int], tokens: int) -> list[int]:
        """The likeliest tokens, one after the other; fewer if it comes to an end of text, which is the last then."""
        reply = self.ask(
            "/completion", prompt=list(prompt), n_predict=tokens, samplers=["top_k"], top_k=1, return_tokens=True,
            cache_prompt=False,
        )  # fmt: skip
        ids: list[int] = reply["tokens"]
        return ids

    def log_probabilities(self, prompt: Sequence[int], vocab_size: int) -> npt.NDArray[np.float64]:
        """(V,) of the token after the prompt, before any sampler."""
        # None are given behind an end of text or half a character, so the token that is taken is a letter.
        reply = self.ask(
            "/completion", prompt=list(prompt), n_predict=1, samplers=["top_k"], top_k=1, n_probs=vocab_size,
            logit_bias=[[self.tokenize("a")[0], 1e6]], cache_prompt=True,
        )  # fmt: skip
        rows = reply["completion_probabilities"][0]["top_logprobs"]
        values = np.full(vocab_size, np.nan)
        values[[row["id"] for row in rows]] = [row["logprob"] for row in rows]
        return values
