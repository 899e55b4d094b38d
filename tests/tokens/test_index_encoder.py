"""tokie, kept from what it does otherwise, against the `tokenizers` library."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tokens import index_encoder, tokie_encoder
from groundup.tokens.bytelevel import pre_tokenizer
from groundup.tokens.index_encoder import IndexEncoder, spread
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.tokie_encoder import TokieEncoder, split
from groundup.tokens.train import train_bpe
from tests.interop.lines import code_lines
from tests.shared import shared_data
from tests.tokens.pieces import backend

CODE = "".join(f"def f{i}(x):\n    return x * {i}  # naïve 中文\n\n" for i in range(300))
DOCUMENTS = [f"{CODE[i * 7 : i * 7 + 300]} {i}" for i in range(200)]


@cache
def brought(kind: str = "smollm") -> Tokenizer:
    """As SmolLM2's: special tokens first, no token for bytes that its texts had none of. gigatoken refuses those."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = pre_tokenizer(kind)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>", "<|im_start|>"], show_progress=False
    )
    made.train_from_iterator([CODE, "".join(map(chr, range(32, 127))) + "éßかな", *code_lines(400)], trainer)
    return Tokenizer(made, separator_id=0, eos_ids=[0])


def rows(encoder: IndexEncoder, texts: Sequence[str]) -> list[list[int]]:
    ids, counts = encoder.encode(texts)
    assert ids.dtype == np.int32
    assert counts.dtype == np.int64
    return [row.tolist() for row in np.split(ids, np.cumsum(counts)[:-1])]


def test_documents_are_encoded_by_tokie_as_the_original_does() -> None:
    tokenizer = brought()
    encoder = tokenizer.index_encoder(DOCUMENTS)
    assert encoder.metrics() == {"encoder": "tokie", "encoder_equal": 200, "encoder_sampled": 200}
    assert rows(encoder, DOCUMENTS) == [tokenizer.encode(text) for text in DOCUMENTS]
    ids, counts = tokenizer.encode_for_index(DOCUMENTS)
    assert (len(counts), int(counts.sum())) == (200, len(ids))


def test_scores_stay_with_the_original() -> None:
    tokenizer = brought()
    tokenizer.index_encoder(DOCUMENTS)
    assert tokenizer.encoder_name == "tokenizers"


def test_gigatoken_encodes_where_it_can() -> None:
    tokenizer = train_bpe([CODE], 500)
    encoder = tokenizer.index_encoder([CODE, "x"])
    assert (encoder.name, encoder.equal, encoder.sampled) == ("gigatoken", 2, 2)
    assert rows(encoder, [CODE, "", "xyz"]) == [tokenizer.encode(text) for text in (CODE, "", "xyz")]
    assert tokenizer.index_encoder([], named="gigatoken").name == "gigatoken"


@given(st.lists(st.text(st.sampled_from("aBé中😀_=(),.:# \n019"), max_size=60), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_ids_are_those_of_tokenizers(texts: list[str]) -> None:
    encoder = brought().index_encoder([], named="tokie")
    assert encoder.name == "tokie"
    assert rows(encoder, texts) == [brought().encode(text) for text in texts]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_bytes_of_tokens_are_bytes_of_text(texts: list[str]) -> None:
    tokenizer = brought()
    for text, ids in zip(texts, rows(tokenizer.index_encoder([], named="tokie"), texts), strict=True):
        lost = tokenizer.missing_bytes(text) > 0
        assert ids == tokenizer.encode(text) if lost else tokenizer.decode_bytes(ids) == text.encode()


def test_a_spelled_special_token_and_a_byte_without_token_are_encoded_as_by_the_original() -> None:
    texts = ["a <|endoftext|> b<|im_start|>", "a\x04b\x05", "", "lone \ud800", "x" * 40]
    encoder = brought().index_encoder([], named="tokie")
    assert rows(encoder, texts) == [brought().encode(text) for text in texts]


def test_real_texts_have_the_same_ids() -> None:
    folder = shared_data("langid")
    texts = [path.read_text(encoding="utf-8")[:15_000] for path in sorted(folder.glob("*.txt"))]
    texts.append(shared_data("text/tinyshakespeare.txt").read_text(encoding="utf-8")[:200_000])
    texts += [path.read_text(encoding="utf-8") for path in sorted(Path(os.__file__).parent.glob("*.py"))[:100]]
    made = brought()
    encoder = made.index_encoder(texts)
    assert encoder.name == "tokie", encoder.refusal
    equal = sum(a == made.encode(text) for a, text in zip(rows(encoder, texts), texts, strict=True))
    assert equal >= 0.99 * len(texts)


# -- independence ------------------------------------------------------------------------------------------------------

LONG = """
import hashlib, os, random, sys
if sys.argv[1] != "all":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import tokenizers
from groundup.tokens.tokenizer import Tokenizer
draw = random.Random(0)
words = ["  ", " ", "\\n", "\\n\\n", "   ", "a", "def ", "==", " \\n", "12"]
long = ["".join(draw.choice(words) for _ in range(size)) for size in (5_000, 20_000, 60_000)]
long += [" " * 30_000, "\\n" * 30_000, "a = " * 30_000]
made = Tokenizer(tokenizers.Tokenizer.from_file(sys.argv[2]), separator_id=0)
encoder = made.index_encoder([], named="tokie")
together, _ = encoder.encode(long)
alone = [number for text in long for number in encoder.encode([text])[0].tolist()]
right = [number for text in long for number in made.encode(text)]
print(encoder.name, together.tolist() == right, alone == right)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can't be chosen here")
@pytest.mark.parametrize("processors", ["all", "one"])
def test_long_texts_have_the_same_ids_on_any_number_of_processors(processors: str, tmp_path: Path) -> None:
    brought().save(tmp_path)
    command = [sys.executable, "-c", LONG, processors, str(tmp_path / "tokenizer.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["tokie", "True", "True"]


@pytest.mark.parametrize("kind", ["smollm", "gpt2", "qwen2", "llama3"])
def test_pieces_have_the_words_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokie_encoder, "ASCII_CHARACTERS", 14)
    monkeypatch.setattr(tokie_encoder, "OTHER_CHARACTERS", 12)
    cut = []

    def words(text: str) -> list[str]:
        made = pre_tokenizer(kind)
        assert made is not None
        return [word for word, _ in made.pre_tokenize_str(text)]

    parts = [
        "a",
        "B",
        "1",
        "_",
        "=",
        " ",
        " ",
        " ",
        "\n",
        "  ",
        "ab",
        "'s",
        "é",
        "中",
        "一",
        "²",
        "\t",
        "\r",
        "\x1c",
        "\xa0",
        "́",
    ]

    @given(st.lists(st.sampled_from(parts), max_size=40), st.lists(st.sampled_from(parts[2:11]), max_size=40))
    @settings(max_examples=400, deadline=None)
    def check(first: list[str], second: list[str]) -> None:
        text = "".join(first + second)
        pieces = split(text)
        if pieces is None:
            return
        cut.append(len(pieces))
        assert "".join(pieces) == text
        assert [word for piece in pieces for word in words(piece)] == words(text)

    check()
    assert sum(count > 1 for count in cut) > 20


@pytest.mark.parametrize("unit", ["a ", "中文 ", "😀😀 é ", "    'x',\n"])
def test_pieces_are_shorter_than_tokie_cuts(unit: str) -> None:
    pieces = split(unit * 20_000)
    assert pieces is not None
    assert max(len(piece.encode()) for piece in pieces) < tokie_encoder.CUTS_ITSELF
    assert split(unit.strip()[:1] * 20_000) is None


def test_a_sample_is_spread_over_all_documents() -> None:
    assert spread([str(i) for i in range(1001)], 5) == ["0", "250", "500", "750", "1000"]
    assert spread(["a", "b"], 5) == ["a", "b"]


# -- the original encodes where tokie may not --------------------------------------------------------------------------


class Changed(TokieEncoder):
    """tokie that reads some texts as others."""

    change: Callable[[str], str] = staticmethod(lambda text: text)

    def encode(self, pieces: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        return super().encode([[type(self).change(piece) for piece in text] for text in pieces])


def changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str]) -> None:
    monkeypatch.setattr(index_encoder, "TokieEncoder", type("Wrong", (Changed,), {"change": staticmethod(change)}))


def check_original(encoder: IndexEncoder, why: str) -> None:
    assert encoder.name == "tokenizers"
    assert why in encoder.refusal
    assert rows(encoder, DOCUMENTS[:9]) == [brought().encode(text) for text in DOCUMENTS[:9]]


def test_without_tokie_the_original_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokie", None)
    check_original(brought().index_encoder(DOCUMENTS), "tokie")
    check_original(brought().index_encoder(DOCUMENTS, named="tokie"), "tokie")


class PanicException(BaseException):
    """As pyo3 raises it: no Exception."""


@pytest.mark.parametrize("error", [ValueError("unknown pre-tokenizer"), PanicException("unknown pre-tokenizer")])
def test_what_tokie_refuses_the_original_encodes(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(index_encoder, "TokieEncoder", refuse)
    check_original(brought().index_encoder(DOCUMENTS), "unknown pre-tokenizer")


def test_a_text_on_which_tokie_fails_is_encoded_by_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> str:
        if "f7(" in text:
            raise PanicException("index out of bounds")
        return text

    changed(monkeypatch, fail)
    encoder = brought().index_encoder(DOCUMENTS)
    assert encoder.name == "tokie"
    assert rows(encoder, DOCUMENTS) == [brought().encode(text) for text in DOCUMENTS]
    monkeypatch.setattr(index_encoder, "_refuses", lambda error: False)
    with pytest.raises(PanicException):
        encoder.encode(DOCUMENTS)


def swapped(numbers: Sequence[int]) -> Callable[[str], str]:
    """Reads "def" as "fed" in the documents with these numbers: other tokens of as many bytes."""
    ends = tuple(f" {number}" for number in numbers)
    return lambda text: text.replace("def", "fed") if text.endswith(ends) and text in DOCUMENTS else text


def test_one_wrong_document_in_a_hundred_is_too_many_and_other_bytes_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, swapped([101, 102, 103]))
    check_original(brought().index_encoder(DOCUMENTS), "the same ids on 197 of 200 documents")
    changed(monkeypatch, swapped([101, 102]))
    check_original(brought().index_encoder(DOCUMENTS), "bytes aren't those of the text")


def test_tokens_with_another_number_of_bytes_are_replaced_by_the_original_s(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda text: text[:-1] if text.endswith("3") else text)
    encoder = brought().index_encoder(DOCUMENTS)
    assert (encoder.name, encoder.equal) == ("tokie", 200)
    assert rows(encoder, DOCUMENTS) == [brought().encode(text) for text in DOCUMENTS]


def test_a_special_token_read_in_a_text_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda text: text.replace("<|endoftext|>", "<|textofend|>"))
    check_original(brought().index_encoder(DOCUMENTS), "spells a special token")
    monkeypatch.undo()
    monkeypatch.setattr(tokie_encoder, "without_specials", lambda definition: definition)
    assert rows(brought().index_encoder(DOCUMENTS), ["a <|endoftext|> b"]) == [brought().encode("a <|endoftext|> b")]


def test_sentencepiece_is_encoded_by_the_original() -> None:
    tokenizer = Tokenizer(backend("llama"), separator_id=1, eos_ids=[2])
    encoder = tokenizer.index_encoder(["The quick brown fox"])
    assert encoder.name == "tokenizers"
    assert "SentencePiece" in encoder.refusal
    assert rows(encoder, ["The quick"]) == [tokenizer.encode("The quick")]


def test_nothing_to_compare_leaves_the_original() -> None:
    encoder = brought().index_encoder([])
    assert (encoder.name, encoder.sampled) == ("tokenizers", 0)
    ids, counts = encoder.encode([])
    assert (len(ids), len(counts)) == (0, 0)
    assert encoder.metrics() == {"encoder": "tokenizers"}


def test_an_encoder_chosen_before_is_taken_again() -> None:
    for name in ("tokie", "tokenizers"):
        assert brought().index_encoder(["a"], named=name).name == name
    with pytest.raises(ValueError, match="no encoder is named 'fastest'"):
        brought().index_encoder(["a"], named="fastest")
