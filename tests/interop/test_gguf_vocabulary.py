from __future__ import annotations

import json
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import ModelError
from groundup.interop.gguf_pre import KNOWN, name_of
from groundup.interop.gguf_tokenizer import read_tokenizer, special_ids
from groundup.interop.gguf_vocabulary import write_tokenizer
from groundup.tokens.bytelevel import BYTE_TO_CHARACTER
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

TEXTS = ["def f(x):\n    return x + 1\n" * 20, "the cat's mat isn't the end of 1234 things. " * 20]
OURS = train_bpe(TEXTS, 300)
AGAIN = read_tokenizer(write_tokenizer(OURS, OURS.vocab_size), "")
END, TURN = OURS.special["<|endoftext|>"], OURS.special["<|im_end|>"]


def changed(ends: tuple[int, ...] = (END, TURN), separator: int | None = END, **parts: Any) -> Tokenizer:
    """Ours, with parts of its tokenizer.json changed; `model` is merged into what is there."""
    state = json.loads(tokenizers.Tokenizer.from_str(OURS.definition).to_str())
    state["model"] |= parts.pop("model", {})
    return Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(state | parts)), separator_id=separator, eos_ids=ends)


def added(content: str, number: int, **options: Any) -> dict[str, Any]:
    whole = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": content, **whole, **options}


@pytest.mark.parametrize("ends", [(END,), (TURN, END), (END, TURN, OURS.special["<|pad|>"])])
@pytest.mark.parametrize("separator", [END, None, TURN])
@pytest.mark.parametrize("pre", sorted({name_of({"pre_tokenizer": json.loads(known.build().__getstate__()), "model": {
    "ignore_merges": known.whole_words}}) or "" for known in KNOWN.values()}))  # fmt: skip
def test_a_tokenizer_comes_back_whole(pre: str, separator: int | None, ends: tuple[int, ...]) -> None:
    known = KNOWN[pre]
    splits = json.loads(known.build().__getstate__())
    tokenizer = changed(ends, separator, pre_tokenizer=splits, model={"ignore_merges": known.whole_words})
    metadata = write_tokenizer(tokenizer, 320, chat_template="{{ messages }}")
    assert metadata["tokenizer.ggml.pre"] == pre
    again = read_tokenizer(metadata, "")
    assert again.digest == tokenizer.digest
    assert (again.special, again.eos_ids, again.separator_id) == (tokenizer.special, list(ends), separator)
    assert again.token_bytes == tokenizer.token_bytes
    assert write_tokenizer(again, 320, chat_template="{{ messages }}") == metadata


@settings(max_examples=200)
@given(st.text())
def test_ids_of_any_text_are_the_same_after_a_round_trip(text: str) -> None:
    assert AGAIN.encode(text) == OURS.encode(text)
    assert AGAIN.encode(text, specials=True) == OURS.encode(text, specials=True)


def test_metadata_are_what_llama_cpps_converter_writes() -> None:
    metadata = write_tokenizer(OURS, OURS.vocab_size + 3)
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    assert tokens[-4:] == ["<|pad|>", *(f"[PAD{number}]" for number in range(OURS.vocab_size, OURS.vocab_size + 3))]
    assert types[-4:] == [3, 5, 5, 5]
    assert set(types[:-8]) == {1}
    assert metadata["tokenizer.ggml.pre"] == "qwen2"
    assert special_ids(metadata) == {
        "eos": END, "eot": TURN, "bos": END, "padding": OURS.special["<|pad|>"], "mask": OURS.special["<|mask|>"],
    }  # fmt: skip
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["tokenizer.ggml.add_space_prefix"] is False
    assert write_tokenizer(OURS, 400, chat_template="{{ messages }}")["tokenizer.ggml.add_bos_token"] is False
    known = write_tokenizer(OURS, 400, special_ids={"bos": 5, "eos": 7, "unknown": 1})
    assert special_ids(known) == special_ids(metadata) | {"bos": 5, "unknown": 1}


def test_a_token_that_is_not_special_stays_so() -> None:
    listed = [*json.loads(OURS.definition)["added_tokens"], added("<tool>", OURS.vocab_size, special=False)]
    tokenizer = changed(added_tokens=listed)
    metadata = write_tokenizer(tokenizer, OURS.vocab_size + 1)
    assert metadata["tokenizer.ggml.token_type"][-1] == 4
    assert read_tokenizer(metadata, "").encode("a <tool> b") == tokenizer.encode("a <tool> b")
    assert OURS.vocab_size in tokenizer.encode("a <tool> b")


def test_numbers_without_a_token_in_between_stay_without() -> None:
    moved = [token | {"id": token["id"] + 2} for token in json.loads(OURS.definition)["added_tokens"]]
    words = {token["content"]: token["id"] for token in moved}
    vocabulary = json.loads(OURS.definition)["model"]["vocab"] | words
    tokenizer = changed((END + 2,), END + 2, added_tokens=moved, model={"vocab": vocabulary})
    metadata = write_tokenizer(tokenizer, OURS.vocab_size + 2)
    assert metadata["tokenizer.ggml.token_type"].count(5) == 2
    again = read_tokenizer(metadata, "")
    assert again.encode("the cat<|im_end|>", specials=True) == tokenizer.encode("the cat<|im_end|>", specials=True)
    assert again.token_bytes == tokenizer.token_bytes


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"normalizer": {"type": "NFC"}}, r"it normalises text first \(NFC\).*drop_normalizer"),
    ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
     r"llama\.cpp has no name for the way it splits text .*add_prefix_space.*Export to a Hugging Face folder"),
    ({"model": {"ignore_merges": True}}, r"llama\.cpp has no name for the way it splits text"),
    ({"model": {"end_of_word_suffix": "</w>"}}, "its end_of_word_suffix is '</w>'"),
    ({"model": {"dropout": 0.1}}, "its dropout is"),
    ({"model": {"merges": []}}, "it has no merges"),
    ({"added_tokens": [added("<|endoftext|>", END, lstrip=True)]}, r"takes the spaces around it \(lstrip\)"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "message"), REFUSED)
def test_what_llama_cpp_would_do_otherwise_is_refused(parts: dict[str, Any], message: str) -> None:
    tokenizer = changed((END,), **parts)
    with pytest.raises(ModelError, match=message):
        write_tokenizer(tokenizer, 320)


def test_a_normalizer_is_left_out_only_when_asked() -> None:
    metadata = write_tokenizer(changed(normalizer={"type": "NFC"}), 320, drop_normalizer=True)
    assert read_tokenizer(metadata, "").digest == OURS.digest


@pytest.mark.parametrize("count", [0, 4])
def test_ends_beyond_what_a_file_names_are_refused(count: int) -> None:
    with pytest.raises(ModelError, match=f"it names {count} ends of text, and a GGUF file holds one to 3"):
        write_tokenizer(changed(tuple(range(count))), 320)


def test_a_vocabulary_larger_than_the_model_is_refused() -> None:
    with pytest.raises(ModelError, match=f"it has {OURS.vocab_size} tokens, the model 291"):
        write_tokenizer(OURS, 291)


def test_an_unknown_token_for_absent_bytes_is_refused() -> None:
    state = json.loads(OURS.definition)
    vocabulary = {token: number for token, number in state["model"]["vocab"].items() if token != BYTE_TO_CHARACTER[0]}
    with pytest.raises(ModelError, match="it writes a for bytes without a token"):
        write_tokenizer(changed(model={"vocab": vocabulary, "unk_token": "a"}), 320)
    assert write_tokenizer(changed(model={"vocab": vocabulary}), 320)["tokenizer.ggml.token_type"].count(5) > 1
