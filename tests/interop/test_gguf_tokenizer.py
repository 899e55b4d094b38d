from __future__ import annotations

from typing import Any

import pytest
import regex

from groundup.errors import ModelError
from groundup.interop.gguf_tokenizer import DEFAULT_PATTERNS, default_pre_tokenizer, read_tokenizer
from groundup.tokens.bytelevel import BYTE_TO_CHARACTER

TEXT = "Don't count 12345678 (or €9,99) – naïve ☃ x²\n\n  def f(): return a+b  # ١٢٣\t中文!?"


def test_the_default_splits_are_four_in_a_row() -> None:
    """llama.cpp applies one pattern after the other to the pieces of the one before."""
    pieces = [TEXT]
    for pattern in DEFAULT_PATTERNS:
        again = []
        for piece in pieces:
            at = 0
            for match in regex.finditer(pattern, piece):
                again += [piece[at : match.start()], match[0]]
                at = match.end()
            again.append(piece[at:])
        pieces = [piece for piece in again if piece]
    ours = [piece for piece, _ in default_pre_tokenizer().pre_tokenize_str(TEXT)]
    assert ours == ["".join(BYTE_TO_CHARACTER[byte] for byte in piece.encode()) for piece in pieces]
    assert "123" in ours


def metadata(**changes: Any) -> dict[str, Any]:
    tokens = ["<bos>", "<eot>", *BYTE_TO_CHARACTER, "ab", "abc"]
    whole = {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "merges": ["a b"], "bos_token_id": 0, "eot_token_id": 1}
    types = [3, 3] + [1] * (len(tokens) - 2)
    return {f"tokenizer.ggml.{key}": value for key, value in {**whole, "token_type": types, **changes}.items()}


def test_only_llama_3_takes_whole_words_before_merges() -> None:
    ids = {
        pre: read_tokenizer(metadata(pre=pre), "").encode("abc") for pre in ("llama-bpe", "gpt-2", "qwen2", "default")
    }
    tokens = metadata()["tokenizer.ggml.tokens"]
    merged = [tokens.index("ab"), tokens.index("c")]
    assert ids == {"llama-bpe": [tokens.index("abc")], "gpt-2": merged, "qwen2": merged, "default": merged}


def test_separator_and_ends_fall_back_on_bos_and_eot() -> None:
    tokenizer = read_tokenizer(metadata(), "")
    assert (tokenizer.separator_id, tokenizer.eos_ids) == (0, [1])
    without = metadata()
    del without["tokenizer.ggml.bos_token_id"], without["tokenizer.ggml.eot_token_id"]
    tokenizer = read_tokenizer(without, "")
    assert (tokenizer.separator_id, tokenizer.eos_ids) == (None, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None}, r"tokenizer\.ggml\.tokens is missing"),
        ({"merges": []}, r"tokenizer\.ggml\.merges is missing"),
        ({"merges": ["x yz"]}, "its vocabulary and merges don't agree"),
        ({"token_type": [1]}, "260 tokens but 1 types of them"),
        ({"pre": "nobody"}, "its pre-tokenizer 'nobody' isn't known here"),
    ],
)
def test_broken_metadata_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_tokenizer(metadata(**changes), "m.gguf")
