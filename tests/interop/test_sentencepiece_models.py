"""Whole models whose tokenizer is SentencePiece's: folders as transformers saves them, scored, continued, exported."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
import torch
import transformers

from groundup.generation.generator import Generator
from groundup.generation.sampling import Sampling
from groundup.interop.base import load_base
from groundup.interop.export import save_decoder
from groundup.interop.gguf_export import save_gguf
from groundup.stages.score import score_lines
from tests.interop.families import GROUPED
from tests.interop.lines import code_lines
from tests.tokens.pieces import folder, vocabulary

TEXTS = ["def read(path):\n    return open(path).read()\n", "", "x", "Wo liegt Köln? 漢字 🙂", "the fox"]
TEMPLATE = "{{ bos_token }}{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
FAMILIES = [("Llama", "llama"), ("Mistral", "llama"), ("Mistral", "first"), ("Gemma3Text", "gemma")]


def brought(path: Path, family: str, form: str) -> Path:
    torch.manual_seed(0)
    sizes = {**GROUPED, "vocab_size": len(vocabulary()[0]), "bos_token_id": 1, "eos_token_id": 2, "head_dim": 8}
    config = getattr(transformers, f"{family}Config")(**sizes)
    model = getattr(transformers, f"{family.removesuffix('Text')}ForCausalLM")(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(path)
    folder(path, form)
    (path / "chat_template.jinja").write_text(TEMPLATE)
    return path


def scored(path: Path, texts: list[str]) -> list[tuple[int, float, int]]:
    lines = [json.dumps({"id": number, "text": text}) for number, text in enumerate(texts)]
    return [(one.tokens, one.nats, one.bytes) for one in score_lines(str(path), path.parent, lines)]


@pytest.mark.parametrize(("family", "form"), FAMILIES)
def test_nats_and_bytes_are_those_of_transformers_and_the_text(family: str, form: str, tmp_path: Path) -> None:
    path = brought(tmp_path / "m", family, form)
    model = transformers.AutoModelForCausalLM.from_pretrained(path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    for text, (tokens, nats, size) in zip(TEXTS, scored(path, TEXTS), strict=True):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert (tokens, size) == (len(ids), len(text.encode()))
        whole = torch.tensor([[1, *ids]])
        with torch.no_grad():
            loss = float(model(whole, labels=whole).loss) if ids else 0.0
        assert nats == pytest.approx(loss * len(ids), rel=1e-4)


def test_a_first_token_that_is_not_scored_takes_its_bytes_along_but_not_the_space_in_front(tmp_path: Path) -> None:
    path = brought(tmp_path / "m", "Llama", "llama")
    (path / "groundup_tokenizer.json").write_text(json.dumps({"separator_id": None, "eos_ids": [2]}))
    tokenizer = load_base(path).tokenizer
    for text, (tokens, _, size) in zip(TEXTS, scored(path, TEXTS), strict=True):
        ids = tokenizer.encode(text)
        first = tokenizer.token_bytes[ids[0]].removeprefix(b" ") if ids else b""
        assert (tokens, size) == (max(0, len(ids) - 1), len(text.encode()) - len(first))
        assert text.encode().startswith(first)


def test_a_text_goes_on_with_its_space_and_begins_without(tmp_path: Path) -> None:
    base = load_base(brought(tmp_path / "m", "Llama", "llama"))
    generator = Generator(base.model, base.tokenizer)
    begun = 0
    for seed in range(12):
        for prompt in ("", "a"):
            ids = generator.encode_prompt(prompt)
            pieces = list(generator.stream(ids, Sampling(temperature=1.0, seed=seed, max_tokens=12)))
            tokens = [piece.token_id for piece in pieces if piece.token_id not in generator.ends]
            shown = "".join(piece.text for piece in pieces)
            whole = base.tokenizer.decode_bytes([*ids, *tokens])
            # A character that the end cuts through isn't shown.
            assert prompt + shown == codecs.getincrementaldecoder("utf-8")("replace").decode(whole)
            begun += not prompt and bool(tokens) and base.tokenizer.token_bytes[tokens[0]].startswith(b" ")
    assert begun  # a space was put in front by the model too, and taken away


@pytest.mark.parametrize(("family", "form"), FAMILIES)
def test_an_exported_folder_is_read_alike_by_transformers(family: str, form: str, tmp_path: Path) -> None:
    base = load_base(brought(tmp_path / "m", family, form))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    save_decoder(tmp_path / "out", base.model, base.tokenizer, chat_template=base.chat_template)
    again, exported = load_base(tmp_path / "out"), transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again.tokenizer.digest == base.tokenizer.digest
    for line in [*code_lines(100), *TEXTS, " a", "  b"]:
        assert exported(line).input_ids == theirs(line, add_special_tokens=False).input_ids
    chat = [{"role": "user", "content": "hi"}]
    rendered = exported.apply_chat_template(chat, tokenize=False)
    assert rendered == theirs.apply_chat_template(chat, tokenize=False) == "<s>[INST] hi [/INST]"
    assert scored(tmp_path / "out", TEXTS) == scored(tmp_path / "m", TEXTS)


def test_an_exported_gguf_file_scores_alike_and_llama_cpp_takes_the_same_tokens(tmp_path: Path) -> None:
    base = load_base(brought(tmp_path / "m", "Llama", "llama"))
    save_gguf(tmp_path / "m.gguf", base.model, base.tokenizer, dtype="F32", chat_template=base.chat_template)
    again = load_base(tmp_path / "m.gguf")
    assert (again.tokenizer.separator_id, again.tokenizer.eos_ids, again.chat_template) == (1, [2], TEMPLATE)
    assert scored(tmp_path / "m.gguf", TEXTS) == scored(tmp_path / "m", TEXTS)
    pytest.importorskip("xllamacpp")
    from tests.interop.llama_cpp import LlamaCpp

    theirs = LlamaCpp(tmp_path / "m.gguf", context=64)
    for prompt in ("the fox", "def f(x):\n    return", "Köln 漢"):
        ids = [1, *base.tokenizer.encode(prompt)]
        assert theirs.tokenize(prompt, begin=True) == ids
        continued = theirs.continued(ids, 12)
        with torch.inference_mode():
            logits = again.model.logits(again.model(torch.tensor([ids + continued])))[0, len(ids) - 1 : -1]
        best = logits.topk(2)
        for at, token in enumerate(continued):
            close = float(best.values[at, 0] - best.values[at, 1]) < 1e-3
            assert close or token == int(best.indices[at, 0])
