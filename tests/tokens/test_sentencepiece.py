"""Independent truths: transformers' fast tokenizers read from the same folder, and the UTF-8 bytes of the text."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.errors import ModelError
from groundup.tokens.tokenizer import Tokenizer
from tests.interop.lines import code_lines, odd_lines
from tests.shared import shared_data
from tests.tokens.pieces import FORMS, SPACE, backend, folder

LOSES = ("first", "always", "first-split")  # what a text begins with, if that is a space
PIECES = ["a", " ", "  ", SPACE, "the", "é", "漢", "\n", "<t>", "<s>", "</s>", "<0x41>", "🙂", "x"]
texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


@cache
def made(form: str, words: tuple[str, ...] = ()) -> Tokenizer:
    return Tokenizer(backend(form, words=words), separator_id=1, eos_ids=[2])


@cache
def plain(form: str) -> tokenizers.Tokenizer:
    library = backend(form)
    library.encode_special_tokens = True
    return library


def shared_lines() -> list[str]:
    files = sorted(shared_data("langid").glob("*.txt"))
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines()[:40]]


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_gives_the_ids_and_texts_of_transformers(form: str, tmp_path: Path) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder(tmp_path, form))
    ours = Tokenizer.load(tmp_path)
    assert (ours.separator_id, ours.eos_ids) == (1, [2])
    lines = [*code_lines(300), *odd_lines(300), "", " ", " a", "  a", SPACE, f"a{SPACE}b"]
    for line in [*lines, *shared_lines()]:
        ids = ours.encode(line)
        assert ids == theirs(line, add_special_tokens=False).input_ids, line
        assert ours.decode(ids) == theirs.decode(ids), line
    for spelled in ("<s>a b</s>\n c", "</s> a", "a</s>"):
        assert ours.encode(spelled, specials=True) == theirs(spelled, add_special_tokens=False).input_ids


def test_the_shared_lines_are_a_thousand_at_least() -> None:
    assert len(shared_lines()) > 1000


def test_a_folder_of_llamas_class_differs_from_transformers_5_at_a_space_in_front_alone(tmp_path: Path) -> None:
    """It builds Metaspace for that class whatever tokenizer.json says; the file decides here."""
    folder(tmp_path, "llama")
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"tokenizer_class": "LlamaTokenizer", "legacy": True}
    path.write_text(json.dumps(config))
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), Tokenizer.load(tmp_path)
    assert theirs.backend_tokenizer.normalizer is None
    for line in [*code_lines(300), *odd_lines(200)]:
        same = ours.encode(line) == theirs(line, add_special_tokens=False).input_ids
        assert same == (not line.startswith(" ")), line


@pytest.mark.parametrize("form", FORMS)
@given(text=texts)
@example(text=" ")
@example(text=f"{SPACE}a {SPACE}")
@example(text="<t> a<t><t>  b")
@settings(max_examples=120, deadline=None)
def test_bytes_of_tokens_are_bytes_of_text(form: str, text: str) -> None:
    """▁ comes back as a space, two bytes less; where a space in front is lost, that is one more. Both are counted."""
    tokenizer = made(form)
    ids = tokenizer.encode(text)
    assert ids == plain(form).encode(text, add_special_tokens=False).ids
    back = text.replace(SPACE, " ")
    lost = form in LOSES and back.startswith(" ")
    assert tokenizer.decode_bytes(ids) == back[lost:].encode()
    assert tokenizer.decode(ids) == back[lost:]
    assert tokenizer.missing_bytes(text) == 2 * text.count(SPACE) + lost
    assert tokenizer.decode_bytes([1, *ids, 2]) == tokenizer.decode_bytes(ids)
    inside = b"".join(tokenizer.token_bytes[number] for number in ids)
    assert inside == (b" " if text and form not in ("gemma", "never") else b"") + back[lost:].encode()


@pytest.mark.parametrize("form", ["llama", "gemma", "never"])
@given(text=texts)
@settings(max_examples=100, deadline=None)
def test_added_words_lose_and_add_nothing(form: str, text: str) -> None:
    tokenizer = made(form, ("<t>", "  x"))
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.replace(SPACE, " ").encode()
    assert tokenizer.missing_bytes(text) == 2 * text.count(SPACE)


@pytest.mark.parametrize("form", LOSES)
@given(text=texts)
@example(text="a<t> b")
@example(text="<t> b<t>c")
@settings(max_examples=100, deadline=None)
def test_spaces_that_added_words_take_are_counted(form: str, text: str) -> None:
    tokenizer = made(form, ("<t>", "  x"))
    decoded, back = tokenizer.decode(tokenizer.encode(text)), text.replace(SPACE, " ")
    assert tokenizer.missing_bytes(text) == len(text.encode()) - len(decoded.encode())
    sections = text.replace("  x", "<t>").replace(SPACE, " ").split("<t>")
    lost = sections if form == "always" else sections[:1]
    assert len(back) - len(decoded) == sum(section.startswith(" ") for section in lost)


@pytest.mark.parametrize("form", FORMS)
def test_special_tokens_in_a_text_are_text_unless_asked(form: str) -> None:
    ids = made(form).encode("a<s>b</s>")
    assert not {0, 1, 2} & set(ids)
    assert made(form).decode(ids) == "a<s>b</s>"
    assert made(form).encode("a<s>b</s>", specials=True).count(1) == 1


@given(text=texts)
@settings(max_examples=100, deadline=None)
def test_inside_a_text_only_the_form_of_every_section_puts_a_space(text: str) -> None:
    """As the library encodes what stands behind a special token."""
    for form in FORMS:
        behind = backend(form).encode("<s>" + text.replace("<s>", "").replace("</s>", ""), add_special_tokens=False)
        clean = text.replace("<s>", "").replace("</s>", "")
        if "<unk>" not in clean and "<s>" not in clean and "</s>" not in clean:
            assert [1, *made(form).encode(clean, inside=True)] == behind.ids


def changed(form: str = "llama", **parts: Any) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(backend(form).to_str())
    state["model"] |= parts.pop("model", {})
    return state | parts


def test_bytes_without_a_token_are_counted_and_have_none() -> None:
    state = changed("gemma")
    for piece in ("<0xE6>", "<0x09>"):
        del state["model"]["vocab"][piece]
    state["model"]["vocab"] |= {"\t": 700}
    tokenizer = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(state)))
    assert tokenizer.missing_bytes("a\tb") == 0
    ids = tokenizer.encode("a漢b")
    assert 0 in ids
    assert tokenizer.decode(ids) == "ab"
    assert tokenizer.missing_bytes("a漢b") == 3
    assert tokenizer.missing_bytes("aéb") == 0


@given(st.lists(texts, max_size=6))
@settings(max_examples=60, deadline=None)
def test_many_texts_are_encoded_by_the_tokenizers_library(rows: list[str]) -> None:
    for form in FORMS:
        many = made(form).encode_many(rows)
        assert [row.tolist() for row in many] == [made(form).encode(text) for text in rows]
        assert made(form).encoder_name == "tokenizers"


@pytest.mark.parametrize("form", FORMS)
def test_a_saved_tokenizer_is_the_same_here_and_in_transformers(form: str, tmp_path: Path) -> None:
    tokenizer = made(form, ("<t>",))
    tokenizer.save(tmp_path)
    again, theirs = Tokenizer.load(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (again.digest, again.form) == (tokenizer.digest, tokenizer.form)
    for line in [*code_lines(50), *odd_lines(50), " a<t> b", "<s> a</s>"]:
        assert theirs(line).input_ids == tokenizer.encode(line, specials=True)
    assert (theirs.bos_token, theirs.eos_token) == ("<s>", "</s>")


NORMALIZER = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
LOWER = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, NORMALIZER]}
METASPACE = {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": False}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(normalizer=None), "byte fallback, and how it writes spaces isn't known here"),
        (changed(normalizer=LOWER), "how it writes spaces isn't known here .*Lowercase"),
        (changed("first", pre_tokenizer=METASPACE), "how it writes spaces isn't known here .*_"),
        (changed("first", normalizer=NORMALIZER), "how it writes spaces isn't known here"),
        (changed(pre_tokenizer={"type": "Whitespace"}), "how it writes spaces isn't known here .*Whitespace"),
        (changed(decoder={"type": "Fuse"}), "its decoder doesn't take back what is put before a text"),
        (changed("gemma", decoder=changed("llama")["decoder"]), "its decoder doesn't take back"),
        (changed("llama", decoder=changed("gemma")["decoder"]), "its decoder doesn't take back"),
        (changed(model={"ignore_merges": True}), "its ignore_merges is True, with byte fallback"),
        (changed(model={"dropout": 0.5}), "its dropout is 0.5"),
    ],
)
def test_what_is_none_of_the_forms_is_refused_by_name(state: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(ModelError, match=rf"tokenizer\.json: .*{message}.*Bring a model whose tokenizer is BPE"):
        Tokenizer.load(tmp_path)


def test_unigram_is_refused_by_name(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0, True))
    library.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="its kind is Unigram, which isn't read here"):
        Tokenizer.load(tmp_path)
