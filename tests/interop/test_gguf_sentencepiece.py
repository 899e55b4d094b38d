"""Tokenizers of SentencePiece in GGUF files, beside SentencePiece itself, transformers' converter and llama.cpp."""

from __future__ import annotations

import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.tokenization_utils_base import generate_merges

from groundup.errors import ModelError
from groundup.interop.base import load_base
from groundup.interop.gguf_export import save_gguf
from groundup.interop.gguf_sentencepiece import merges_of
from groundup.interop.gguf_tokenizer import read_tokenizer
from groundup.interop.gguf_vocabulary import write_tokenizer
from groundup.nn.config import decoder_config
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from tests.interop.lines import code_lines, odd_lines
from tests.shared import shared_data
from tests.tokens.pieces import BYTES, SPACE, backend, vocabulary

WRITTEN = ("llama", "gemma", "never")
SIZE = 704  # rows of the model: more than tokens


def made(form: str, *, words: tuple[str, ...] = (), **parts: Any) -> Tokenizer:
    """parts: changes to tokenizer.json; `model` is merged into what is there."""
    state: dict[str, Any] = json.loads(backend(form, words=words).to_str())
    state["model"] |= parts.pop("model", {})
    return Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(state | parts)), separator_id=1, eos_ids=[2])


def shared_lines(languages: int, each: int) -> list[str]:
    files = sorted(shared_data("langid").glob("*.txt"))[:languages]
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines()[:each]]


def mixed_lines(pieces: list[str], count: int) -> list[str]:
    """Pieces in any order, so that merges meet that no text has side by side; and runs of a few characters."""
    draw = random.Random(5)
    runs = ["a", "b", "ab", " ", "=", "--", "\n"]
    rows = [[draw.choice(pieces) for _ in range(draw.randrange(2, 12))] for _ in range(count)]
    rows += [[draw.choice(runs) * draw.randrange(1, 9) for _ in range(6)] for _ in range(count // 4)]
    return ["".join(row).replace(SPACE, " ") for row in rows]


# -- in --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [True, False])
def test_ids_are_those_of_sentencepiece(prefix: bool) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*code_lines(6000), *shared_lines(30, 50)]), model_writer=model, vocab_size=4000,
        model_type="bpe", byte_fallback=True, character_coverage=0.9995, normalization_rule_name="identity",
        add_dummy_prefix=prefix, remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True,
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(theirs.vocab_size())
    kinds = [2 if theirs.is_unknown(i) else 3 if theirs.is_control(i) else 6 if theirs.is_byte(i) else 1 for i in ids]
    whole: dict[str, Any] = {
        "model": "llama", "tokens": [theirs.id_to_piece(i) for i in ids], "token_type": kinds,
        "add_space_prefix": prefix, "scores": [theirs.get_score(i) for i in ids],
    }  # fmt: skip
    ours = read_tokenizer({f"tokenizer.ggml.{key}": value for key, value in whole.items()}, "")
    assert (ours.separator_id, ours.eos_ids) == (theirs.bos_id(), [theirs.eos_id()])
    lines = [*code_lines(8000)[6000:], *odd_lines(1000), *shared_lines(60, 60), "", " ", " a", SPACE]
    for line in [*lines, *mixed_lines(whole["tokens"][259:], 4000)]:
        assert ours.encode(line) == theirs.encode(line), line
        assert ours.decode(ours.encode(line)) == line.replace(SPACE, " ")


def test_merges_are_those_of_transformers_converter() -> None:
    pieces, merges = vocabulary()
    scores = {piece: float(-number) for piece, number in pieces.items() if number > 258}
    assert merges_of(scores) == merges
    few = {"a": -9.0, "b": -8.0, "ab": -2.0, "ba": -1.0, "aba": -3.0, "abab": -4.0}
    expected = generate_merges({piece: number for number, piece in enumerate(few)}, few)
    assert merges_of(few) == [tuple(pair) for pair in expected]


@cache
def written(form: str = "llama") -> dict[str, Any]:
    return write_tokenizer(made(form), SIZE)


def changed(**changes: Any) -> dict[str, Any]:
    """changes: of metadata; "tokens", "token_type" and "scores" are {number: value}."""
    whole = dict(written())
    for key, value in changes.items():
        name = f"tokenizer.ggml.{key}"
        if isinstance(value, dict):
            whole[name] = [value.get(number, old) for number, old in enumerate(whole[name])]
        else:
            whole[name] = value
    return whole


PIECE = vocabulary()[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, r"tokenizer\.ggml\.scores is missing"),
        ({"scores": [0.0]}, "it doesn't have one score for each token"),
        ({"scores": dict.fromkeys(range(SIZE), -1000.0)}, "its pieces '.*' and '.*' have one score"),
        ({"token_type": {5: 1}}, "'<0x02>' is not among its byte tokens"),
        ({"token_type": {PIECE["in"]: 6}}, "'in' is among its byte tokens"),
        ({"token_type": {PIECE["in"]: 5}}, "its piece 'in' is marked as unused, though two others make it"),
        ({"token_type": {PIECE["in"]: 7}}, r"\('in'\) is of type 7, which its kind \(llama\) doesn't have"),
        ({"add_space_prefix": 3}, "add_space_prefix is '3', which isn't carried here"),
        ({"add_eos_token": True}, "add_eos_token is 'True', which isn't carried here"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces is 'True'"),
        ({"bos_token_id": 5000}, "its bos token is 5000, but it has 704 tokens"),
    ],
)
def test_broken_metadata_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_tokenizer(changed(**changes), "m.gguf")


def test_what_a_file_leaves_unsaid_is_as_llama_cpp_takes_it() -> None:
    names = ("bos_token_id", "eos_token_id", "add_bos_token", "add_space_prefix", "padding_token_id")
    left_out = {f"tokenizer.ggml.{name}" for name in names} | {k for k in written() if k.startswith("groundup.")}
    read = read_tokenizer({key: value for key, value in written().items() if key not in left_out}, "")
    assert (read.separator_id, read.eos_ids) == (1, [2])
    assert read.form == made("llama").form


# -- out and in again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("<tool>", "a b")])
@pytest.mark.parametrize("form", WRITTEN)
def test_a_tokenizer_comes_back_whole(form: str, words: tuple[str, ...]) -> None:
    tokenizer = made(form, words=words)
    metadata = write_tokenizer(tokenizer, SIZE, chat_template="{{ messages }}")
    again = read_tokenizer(metadata, "")
    assert (again.special, again.eos_ids, again.separator_id) == (tokenizer.special, [2], 1)
    assert again.token_bytes == tokenizer.token_bytes
    assert again.form == tokenizer.form
    assert write_tokenizer(again, SIZE, chat_template="{{ messages }}") == metadata
    if form == "llama":
        assert again.digest == tokenizer.digest


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_ids_of_any_text_are_the_same_after_a_round_trip(text: str) -> None:
    for form in WRITTEN:
        tokenizer, again = _pair(form)
        assert again.encode(text) == tokenizer.encode(text)
        assert again.encode(f"<s>{text}</s>", specials=True) == tokenizer.encode(f"<s>{text}</s>", specials=True)


@cache
def _pair(form: str) -> tuple[Tokenizer, Tokenizer]:
    return made(form), read_tokenizer(written(form), "")


def test_metadata_are_what_llama_cpps_converter_writes() -> None:
    metadata = written()
    types = metadata["tokenizer.ggml.token_type"]
    assert metadata["tokenizer.ggml.model"] == "llama"
    assert types[:3] == [2, 3, 3]
    assert types[3:259] == [6] * 256
    assert set(types[259:700]) == {1}
    assert types[700:] == [5] * 4
    assert metadata["tokenizer.ggml.tokens"][3:259] == BYTES
    assert metadata["tokenizer.ggml.add_space_prefix"] is True
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert metadata["tokenizer.ggml.unknown_token_id"] == 0
    assert written("gemma")["tokenizer.ggml.add_space_prefix"] is False
    scores = metadata["tokenizer.ggml.scores"]
    merged = [scores[PIECE[piece]] for piece in dict.fromkeys(left + right for left, right in vocabulary()[1])]
    assert merged == sorted(merged, reverse=True)
    assert len(set(merged)) == len(merged)


MERGES = [list(pair) for pair in vocabulary()[1]]
TWICE = next(pair for pair in MERGES if sum(pair[0] + pair[1] == a + b for a, b in MERGES) > 1)


@pytest.mark.parametrize(
    ("form", "parts", "message"),
    [
        ("first", {}, r"only where none stands already \(Metaspace, first\), and llama\.cpp always does"),
        ("always", {}, r"only where none stands already \(Metaspace, always\)"),
        ("gemma", {"model": {"merges": MERGES[:-1]}}, "it doesn't join '.+' and '.+' to '.+', and llama.cpp would"),
        ("gemma", {"model": {"merges": [pair for pair in MERGES if pair != TWICE]}}, "it doesn't join"),
        ("gemma", {"model": {"merges": [*(p for p in MERGES if p != TWICE), TWICE]}}, "have others in between"),
    ],
)
def test_what_llama_cpp_would_do_otherwise_is_refused(form: str, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=f"tokenizer: .*{message}.*Export to a Hugging Face folder"):
        write_tokenizer(made(form, **parts), SIZE)


def test_words_that_llama_cpp_would_find_otherwise_are_refused() -> None:
    with pytest.raises(ModelError, match=r"its token '▁▁' is found in a text as it stands"):
        write_tokenizer(made("gemma", words=("▁▁",)), SIZE)
    state = json.loads(backend("llama", words=("<t>",)).to_str())
    added = [token | {"normalized": not token["special"]} for token in state["added_tokens"]]
    with pytest.raises(ModelError, match=r"its token '<t>' is found only once spaces are ▁ \(normalized\)"):
        write_tokenizer(made("llama", added_tokens=added), SIZE)


def test_a_vocabulary_without_all_bytes_is_refused() -> None:
    fewer = {piece: number for piece, number in PIECE.items() if piece != "<0x7F>"}
    with pytest.raises(ModelError, match=r"it lacks the token <0x7F>, which llama\.cpp needs"):
        write_tokenizer(made("gemma", model={"vocab": fewer}), SIZE)


def test_words_merged_apart_are_written_where_no_piece_crosses_them() -> None:
    with pytest.raises(ModelError, match=r"it merges words apart, and its piece '▁+' has a ▁ inside"):
        write_tokenizer(made("never", pre_tokenizer=_apart()), SIZE)
    few = [pair for pair in MERGES if SPACE not in (pair[0] + pair[1])[1:]]
    kept = {piece: number for piece, number in PIECE.items() if SPACE not in piece[1:]}
    assert write_tokenizer(made("never", pre_tokenizer=_apart(), model={"merges": few, "vocab": kept}), SIZE)


def _apart() -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": True}


# -- llama.cpp -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WRITTEN)
def test_llama_cpp_gives_the_same_ids(form: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from tests.interop.llama_cpp import LlamaCpp

    model = Transformer(decoder_config(SIZE, 32, 1, context_length=64, head_dim=8)).eval()
    tokenizer = made(form, words=("<tool>",))
    save_gguf(tmp_path / "m.gguf", model, tokenizer, dtype="F32")
    theirs, again = LlamaCpp(tmp_path / "m.gguf", context=64), load_base(tmp_path / "m.gguf").tokenizer
    lines = [*code_lines(500), *odd_lines(500), *shared_lines(60, 20), *mixed_lines(list(PIECE)[259:], 500)]
    for line in [*lines, "", " ", " a", "  a", "a▁b", "a <tool> b", "<tool>a", "\n\n\t"]:
        ids = tokenizer.encode(line)
        assert theirs.tokenize(line) == ids == again.encode(line), line
    for spelled in ("<s>a</s> b</s><tool>c", "</s> x"):
        assert theirs.tokenize(spelled, specials=True) == tokenizer.encode(spelled, specials=True)
        assert theirs.tokenize(spelled) == tokenizer.encode(spelled)
    assert theirs.tokenize("a b", begin=True) == [1, *tokenizer.encode("a b")]
    ids = tokenizer.encode("naïve 漢字\n x")
    assert theirs.ask("/detokenize", tokens=ids)["content"].removeprefix(" ") == tokenizer.decode(ids)
