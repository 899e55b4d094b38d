"""Pre-tokenizers by the names GGUF files give them (`tokenizer.ggml.pre`), both ways.

A name stands for a split pattern, and for whether a word that is a token is taken before any merge. Only names whose
ids were compared with llama.cpp's are here (tests/interop/test_gguf_llama_cpp.py): a near guess would give other ids
in silence. Source of names and patterns: llama.cpp src/llama-vocab.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, pre_tokenizers

from groundup.tokens.bytelevel import LLAMA3_PATTERN, QWEN2_PATTERN

# Of a file that names none: four splits in a row.
DEFAULT_PATTERNS = (
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
)


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """patterns: splits in a row, before the bytes. gpt2: GPT-2's own pattern comes last. digits: each alone, first."""

    patterns: tuple[str, ...] = ()
    gpt2: bool = False
    digits: bool = False
    whole_words: bool = False  # a word that is a token is taken before any merge
    begins: bool = False  # llama.cpp puts the bos token first unless tokenizer.ggml.add_bos_token says otherwise

    def build(self) -> pre_tokenizers.PreTokenizer:
        steps: list[pre_tokenizers.PreTokenizer] = []
        if self.digits:
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        steps += [pre_tokenizers.Split(Regex(pattern), "isolated", False) for pattern in self.patterns]
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=self.gpt2)
        return pre_tokenizers.Sequence([*steps, level]) if steps else level


_LLAMA3 = PreTokenizer((LLAMA3_PATTERN,), whole_words=True, begins=True)
_LLAMA3_MERGED = PreTokenizer((LLAMA3_PATTERN,))
_QWEN2 = PreTokenizer((QWEN2_PATTERN,))
_GPT2 = PreTokenizer(gpt2=True)
_DIGITS_ALONE = PreTokenizer(gpt2=True, digits=True)

# The first name of each kind is the one written.
KNOWN: dict[str, PreTokenizer] = {
    "qwen2": _QWEN2, "deepseek-r1-qwen": _QWEN2, "stablelm2": _QWEN2, "megrez": _QWEN2,
    "llama-bpe": _LLAMA3, "llama3": _LLAMA3, "llama-v3": _LLAMA3, "falcon3": _LLAMA3,
    "smaug-bpe": _LLAMA3_MERGED, "dbrx": _LLAMA3_MERGED,
    "smollm": _DIGITS_ALONE, "starcoder": _DIGITS_ALONE, "refact": _DIGITS_ALONE, "command-r": _DIGITS_ALONE,
    "codeshell": _DIGITS_ALONE,
    "gpt-2": _GPT2, "phi-2": _GPT2, "olmo": _GPT2, "jais": _GPT2,
    "default": PreTokenizer(DEFAULT_PATTERNS),
}  # fmt: skip


def name_of(state: Mapping[str, Any]) -> str | None:
    """The name for the pre-tokenizer of a tokenizer.json (its parsed state), None if llama.cpp has none for it.

    Offsets don't decide ids, so how spaces are trimmed from them is not compared.
    """
    splits, whole_words = _plain(state.get("pre_tokenizer")), bool(state.get("model", {}).get("ignore_merges"))
    for name, known in KNOWN.items():
        if known.whole_words == whole_words and _plain(json.loads(known.build().__getstate__())) == splits:
            return name
    return None


def _plain(splits: Any) -> Any:
    if isinstance(splits, dict):
        if splits.get("type") == "Sequence" and len(splits.get("pretokenizers", ())) == 1:
            return _plain(splits["pretokenizers"][0])
        return {key: _plain(value) for key, value in splits.items() if key != "trim_offsets"}
    return [_plain(value) for value in splits] if isinstance(splits, list) else splits
