"""Passages before a text: against the model run on each prompt's beginnings one by one, and windows laid by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from groundup.evaluation.bits import record_documents
from groundup.evaluation.memory_scores import Surveyed, fit, mix, mixed_nats
from groundup.evaluation.passages import (
    PASSAGE_TOKENS,
    QUERY_CHARACTERS,
    TARGET_TOKENS,
    Window,
    fitting,
    of_windows,
    windows,
    with_passages,
)
from groundup.evaluation.token_record import TokenRecord
from groundup.evaluation.verdict import ENOUGH_TO_TELL
from groundup.evaluation.ways import surveyed_windows
from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import Segment
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "another", "dog", "ran", "over", "some", "old", "brücke"]
CONTEXT = 1024


@dataclass(frozen=True)
class Text:
    id: str
    text: str


@dataclass(frozen=True)
class Found:
    source: str
    text: str


def texts(count: int, seed: int, words: int = 40) -> list[Text]:
    random = np.random.default_rng(seed)
    return [Text(f"t{seed}-{i}", " ".join(random.choice(WORDS, words))) for i in range(count)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe((text.text for text in texts(20, 0)), 300)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        width=32,
        layers=2,
        heads=2,
        kv_heads=2,
        head_dim=16,
        ffn_width=64,
        context_length=CONTEXT,
    )
    made = Transformer(config)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def said_after(model: Transformer, prompt: list[int]) -> np.ndarray:
    """ln p of every token after the prompt, which is all that the model sees."""
    with torch.no_grad():
        return torch.log_softmax(model.logits(model(torch.tensor([prompt])))[0, -1].double(), -1).numpy()


def test_a_window_is_the_last_half_of_a_document_and_never_longer_than_its_bound() -> None:
    lengths = [0, 1, 2, 5, 2 * TARGET_TOKENS + 10, CONTEXT - PASSAGE_TOKENS - 1, CONTEXT - PASSAGE_TOKENS]
    record = TokenRecord.blank([np.zeros(length, np.int64) for length in lengths], 20)
    assert windows(record, CONTEXT, 10**6) == [
        Window(2, 1, 2),
        Window(3, 2, 5),
        Window(4, TARGET_TOKENS + 10, 2 * TARGET_TOKENS + 10),
        Window(5, CONTEXT - PASSAGE_TOKENS - 1 - TARGET_TOKENS, CONTEXT - PASSAGE_TOKENS - 1),
    ]
    assert windows(record, PASSAGE_TOKENS + 2, 10**6) == []


def test_windows_are_taken_while_reading_them_stays_in_the_budget() -> None:
    size = 100
    record = TokenRecord.blank([np.zeros(size, np.int64)] * 20, 20)
    each = 1 + PASSAGE_TOKENS + size
    assert len(windows(record, CONTEXT, 9 * each)) == 9
    assert len(windows(record, CONTEXT, 9 * each - 1)) == 8
    assert len(windows(record, CONTEXT, 0)) == ENOUGH_TO_TELL


def test_what_is_said_after_passages_is_what_the_model_says_of_each_beginning_of_the_prompt(
    model: Transformer, tokenizer: Tokenizer
) -> None:
    _, record = record_documents(model, tokenizer, texts(3, 1), context=CONTEXT)
    chosen = windows(record, CONTEXT, 10**6)
    asked: list[str] = []

    def find(query: str) -> list[Found]:
        asked.append(query)
        return [Found(f"{len(asked)}.py", "the old dog"), Found("b.py", "a cat ran")][: len(asked)]

    found, sizes = with_passages(model, tokenizer, record, chosen, find)
    np.testing.assert_array_equal(found.offsets, np.cumsum([0, *(one.stop - one.start for one in chosen)]))
    shown = [
        "[1] 1.py:\nthe old dog\n\n",
        "[1] 2.py:\nthe old dog\n\n[2] b.py:\na cat ran\n\n",
        "[1] 3.py:\nthe old dog\n\n[2] b.py:\na cat ran\n\n",
    ]
    row = 0
    for number, one in enumerate(chosen):
        ids = record.tokens[record.document(number)].tolist()
        before = tokenizer.encode(shown[number])
        assert sizes[number] == len(before)
        for place in range(one.start, one.stop):
            logp = said_after(model, [tokenizer.separator_id, *before, *ids[:place]])
            assert found.tokens[row] == ids[place]
            assert found.logp[row] == pytest.approx(logp[ids[place]], rel=1e-4)
            assert found.entropy[row] == pytest.approx(-(np.exp(logp) * logp).sum(), rel=1e-4)
            assert found.best[row, 0] == logp.argmax()
            assert found.best_logp[row, 0] == pytest.approx(logp.max(), rel=1e-4)
            row += 1
    assert row == len(found.tokens)


def test_passages_are_asked_for_by_the_text_before_the_window_alone(model: Transformer, tokenizer: Tokenizer) -> None:
    documents = [Text("short", "the cat sat on a mat"), *texts(1, 5, words=400)]
    _, record = record_documents(model, tokenizer, documents, context=CONTEXT)
    chosen = windows(record, CONTEXT, 10**6)
    asked: list[str] = []
    with_passages(model, tokenizer, record, chosen, lambda query: asked.append(query) or [])
    assert len(asked) == len(documents)
    for document, one, query in zip(documents, chosen, asked, strict=True):
        ids = record.tokens[record.document(one.document)]
        raw = document.text.encode()
        cut = int(tokenizer.token_lengths[ids[: one.start]].sum())
        assert raw[:cut].decode("utf-8", "replace").endswith(query)
        assert len(query) == min(QUERY_CHARACTERS, len(raw[:cut].decode("utf-8", "replace")))


def test_without_passages_a_window_is_said_as_it_was_scored(model: Transformer, tokenizer: Tokenizer) -> None:
    _, record = record_documents(model, tokenizer, texts(3, 2), context=CONTEXT)
    chosen = windows(record, CONTEXT, 10**6)[1:]
    found, sizes = with_passages(model, tokenizer, record, chosen, lambda query: [])
    expected = of_windows(record, chosen)
    assert sizes == [0, 0]
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    for name in ("logp", "entropy", "best_logp"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-6)


def test_passages_are_laid_whole_while_there_is_room_and_a_long_first_one_is_cut(tokenizer: Tokenizer) -> None:
    short, long = Found("a", "the cat"), Found("b", "dog " * 60)
    one = tokenizer.encode("[1] a:\nthe cat\n\n")
    both = tokenizer.encode("[1] a:\nthe cat\n\n[2] b:\n" + "dog " * 60 + "\n\n")
    assert fitting(tokenizer, [short, long], len(both)).tolist() == both
    assert fitting(tokenizer, [short, long], len(both) - 1).tolist() == one
    cut = fitting(tokenizer, [long, short], 20).tolist()
    assert cut == tokenizer.encode("[1] b:\n" + "dog " * 60 + "\n\n")[:20]
    assert fitting(tokenizer, []).tolist() == []


def test_nats_of_the_mixture_by_token_are_those_of_its_sums_and_the_same_in_a_window(
    model: Transformer, tokenizer: Tokenizer
) -> None:
    remembered = [np.array([tokenizer.separator_id, *tokenizer.encode(text.text)]) for text in texts(30, 3)]
    memory = Memory(
        Segment.build(
            np.concatenate(remembered),
            np.cumsum([0, *map(len, remembered)]),
            [f"d{i}" for i in range(30)],
            tokenizer=tokenizer.digest,
            vocab_size=tokenizer.vocab_size,
            separator=tokenizer.separator_id,
        )
    )
    _, fitted = record_documents(model, tokenizer, texts(6, 4), context=CONTEXT)
    backoff, gate = fit(memory, Surveyed.of(memory, fitted), seed=0)
    scores, record = record_documents(model, tokenizer, texts(4, 5), context=CONTEXT)
    surveyed = Surveyed.of(memory, record)
    nats = mixed_nats(memory, backoff, gate, surveyed)
    sums = mix(memory, backoff, gate, surveyed, scores, tokenizer.token_lengths).mixed
    for index, score in enumerate(sums):
        assert nats[record.document(index)].sum() == pytest.approx(score.nats)
    chosen = windows(record, CONTEXT, 10**6)[1:]
    cut = mixed_nats(memory, backoff, gate, surveyed_windows(memory, record, chosen))
    places = [record.offsets[one.document] + np.arange(one.start, one.stop) for one in chosen]
    np.testing.assert_allclose(cut, nats[np.concatenate(places)], rtol=1e-9)
