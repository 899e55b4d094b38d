from __future__ import annotations

from typing import Any

import pytest
import regex

from groundup.errors import ModelError
from groundup.interop.gguf_pre import DEFAULT_PATTERNS, KNOWN
from groundup.interop.gguf_tokenizer import read_tokenizer
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
    ours = [piece for piece, _ in KNOWN["default"].build().pre_tokenize_str(TEXT)]
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
        ({"token_type": 3}, "token_type is no list"),
        ({"token_type": [3, 6] + [1] * 258}, r"token 1 \('<eot>'\) is of type 6, which its kind \(gpt2\) doesn't have"),
        ({"tokens": ["<bos>", "<bos>", *BYTE_TO_CHARACTER, "ab", "abc"]}, "it has the token '<bos>' twice"),
        (
            {"tokens": ["", *BYTE_TO_CHARACTER, "ab", "", "<eot>"][1:], "token_type": [1] * 257 + [3, 3]},
            r"its special token 257 \(''\) can't have that number",
        ),
        ({"bos_token_id": 260}, "its bos token is 260, but it has 260 tokens"),
        ({"pre": "nobody"}, "its pre-tokenizer 'nobody' isn't known here"),
        ({"pre": "tekken"}, "its pre-tokenizer 'tekken' isn't known here"),
        ({"model": "t5"}, "of kind 't5', not BPE of bytes .* Unigram isn't read here; bring"),
        ({"model": "bert"}, "of kind 'bert', not BPE of bytes .* WordPiece isn't read here; bring"),
        ({"model": "rwkv"}, "of kind 'rwkv', not BPE of bytes .* Bring"),
        ({"add_eos_token": True}, r"tokenizer\.ggml\.add_eos_token is 'True', which isn't carried here"),
        ({"add_sep_token": True}, "add_sep_token is 'True'"),
        ({"add_space_prefix": True}, "add_space_prefix is 'True'"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces is 'True'"),
        ({"normalizer.lowercase": True}, "normalizer.lowercase is 'True'"),
        ({"suppress_tokens": [3]}, "suppress_tokens is '.3.'"),
        ({"something_new": 1}, "something_new is '1', which isn't carried here"),
    ],
)
def test_broken_metadata_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_tokenizer(metadata(**changes), "m.gguf")


@pytest.mark.parametrize("value", [False, True])
def test_what_changes_nothing_is_read(value: bool) -> None:
    same = {"add_eos_token": False, "add_space_prefix": False, "add_bos_token": value, "fim_pre_token_id": 3}
    read = read_tokenizer(metadata(**same, suppress_tokens=[]), "")
    assert read.encode("abc") == read_tokenizer(metadata(), "").encode("abc")


def test_the_separator_is_bos_where_texts_begin_with_it() -> None:
    tokens = metadata()["tokenizer.ggml.tokens"]
    tokens[1] = "<|endoftext|>"
    for begins, pre, separator in ((True, "qwen2", 0), (False, "qwen2", 1), (None, "qwen2", 1), (None, "llama3", 0)):
        flag = {} if begins is None else {"add_bos_token": begins}
        assert read_tokenizer(metadata(tokens=tokens, pre=pre, **flag), "").separator_id == separator


def test_padding_is_no_part_of_the_tokenizer() -> None:
    whole = metadata()
    padded = [*whole["tokenizer.ggml.tokens"], "[PAD260]", "[PAD261]"]
    read = read_tokenizer(metadata(tokens=padded, token_type=[*whole["tokenizer.ggml.token_type"], 5, 5]), "")
    assert read.vocab_size == 260
    assert read.digest == read_tokenizer(whole, "").digest
