"""A decoder's record, and what memory adds to it: against the mixture written out token by token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.evaluation.bits import record_documents, score_documents
from groundup.evaluation.memory_scores import Surveyed, fit, mix, mixed_nats
from groundup.evaluation.passages import Window
from groundup.evaluation.scores import DocumentScore
from groundup.evaluation.token_record import TokenRecord
from groundup.evaluation.ways import surveyed_windows
from groundup.infinigram.evidence import BEST
from groundup.infinigram.memory import Memory
from groundup.infinigram.mixture import Mixture
from groundup.infinigram.segment import Segment
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "another", "dog", "ran", "over", "some", "old", "bridge"]


class Text:
    def __init__(self, name: str, text: str) -> None:
        self.id, self.text = name, text


def texts(count: int, seed: int) -> list[Text]:
    random = np.random.default_rng(seed)
    return [Text(f"t{seed}-{i}", " ".join(random.choice(WORDS, 40))) for i in range(count)]


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
        context_length=64,
    )
    made = Transformer(config)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def test_a_record_holds_what_the_model_says_before_each_token(
    model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    documents = [*texts(3, 1), Text("empty", "")]
    scores, record = record_documents(model, tokenizer, documents, context=16)
    assert scores == score_documents(model, tokenizer, documents, context=16)
    record.save(tmp_path / "record.npz")
    record = TokenRecord.load(tmp_path / "record.npz")
    for index, score in enumerate(scores):
        assert -record.logp[record.document(index)].sum() == pytest.approx(score.nats, rel=1e-5)
    ids = record.tokens[record.document(1)]
    assert tokenizer.decode(ids) == documents[1].text
    with torch.no_grad():  # the first window sees everything before
        hidden = model(torch.tensor([[tokenizer.separator_id, *ids[:15]]]))
        logp = torch.log_softmax(model.logits(hidden)[0].double(), -1).numpy()
    start = record.document(1).start
    for place in range(16):
        order = np.argsort(-logp[place], kind="stable")[:BEST]
        row = start + place
        assert record.entropy[row] == pytest.approx(-(np.exp(logp[place]) * logp[place]).sum(), rel=1e-5)
        np.testing.assert_allclose(record.best_logp[row], logp[place][order], rtol=1e-4)
        assert record.best[row, 0] == order[0]
    part = record.part(1, 3)
    np.testing.assert_array_equal(part.tokens, record.tokens[record.offsets[1] : record.offsets[3]])
    np.testing.assert_array_equal(part.offsets, record.offsets[1:4] - record.offsets[1])


@pytest.mark.parametrize("cautious", [False, True])
def test_scores_of_the_mixture_are_those_of_a_next_token_after_every_prompt(
    model: Transformer, tokenizer: Tokenizer, cautious: bool
) -> None:
    separator = tokenizer.separator_id
    assert separator is not None
    remembered = [np.array([separator, *tokenizer.encode(text.text)]) for text in texts(30, 2)]
    memory = Memory(
        Segment.build(
            np.concatenate(remembered),
            np.cumsum([0, *map(len, remembered)]),
            [f"d{i}" for i in range(30)],
            tokenizer=tokenizer.digest,
            vocab_size=tokenizer.vocab_size,
            separator=separator,
        )
    )
    _, fitting = record_documents(model, tokenizer, texts(6, 3), context=64)
    backoff, gate = fit(memory, Surveyed.of(memory, fitting), seed=0, cautious=cautious)
    documents = texts(4, 4)
    scores, record = record_documents(model, tokenizer, documents, context=64)
    found = mix(memory, backoff, gate, Surveyed.of(memory, record), scores, tokenizer.token_lengths)
    text_bytes = sum(score.text_bytes for score in scores)
    assert sum(band.tokens for band in found.bands) == len(record.tokens)
    assert sum(band.text_bytes for band in found.bands) == text_bytes
    assert sum(band.mixed_bits for band in found.bands) == pytest.approx(sum(s.bits for s in found.mixed))
    assert sum(s.nats for s in found.mixed) < sum(s.nats for s in scores)  # an untrained decoder is easily helped
    for index, document in enumerate(documents):
        ids = tokenizer.encode(document.text)
        mixture = Mixture(memory, backoff, gate)
        nats = alone = 0.0
        with torch.no_grad():
            logits = model.logits(model(torch.tensor([[separator, *ids]]))).double().numpy()[0]
        for place, token in enumerate(ids):
            recall = mixture.recall([separator, *ids[:place]])
            row = recall.mix(logits[place])
            nats -= row[token] - np.logaddexp.reduce(row)
            alone -= np.log(recall.distribution()[token])
        assert found.mixed[index].nats == pytest.approx(nats, rel=1e-4)
        assert found.memory[index].nats == pytest.approx(alone, rel=1e-9)


def test_a_share_of_long_matches_counts_every_token_inside_one() -> None:
    from groundup.evaluation.memory_scores import _inside

    # Before each token the match that ends there: one of 3 tokens ends before place 4, and holds tokens 1 to 3.
    assert _inside(np.array([0, 1, 1, 2, 3, 0]), 3).tolist() == [False, True, True, True, False, False]
    assert not _inside(np.array([0, 1, 2]), 3).any()


def test_trust_is_earned_by_the_text_before_a_window_too(tokenizer: Tokenizer) -> None:
    separator = tokenizer.separator_id
    assert separator is not None
    ids = [np.array(tokenizer.encode(text.text)) for text in texts(6, 5)]
    memory = Memory(
        Segment.build(
            np.concatenate([[separator], ids[0], [separator], ids[1]]),
            np.array([0, len(ids[0]) + 1, len(ids[0]) + len(ids[1]) + 2]),
            ["a", "b"],
            tokenizer=tokenizer.digest,
            vocab_size=tokenizer.vocab_size,
            separator=separator,
        )
    )
    whole = TokenRecord.blank([ids[0], ids[2]], tokenizer.vocab_size)
    backoff, gate = fit(memory, Surveyed.of(memory, whole), 0, cautious=True)
    nats = mixed_nats(memory, backoff, gate, Surveyed.of(memory, whole))
    chosen = [Window(0, 20, len(ids[0])), Window(1, 30, len(ids[2]))]
    windows = surveyed_windows(memory, whole, chosen)
    places = [whole.offsets[one.document] + np.arange(one.start, one.stop) for one in chosen]
    np.testing.assert_array_equal(mixed_nats(memory, backoff, gate, windows), nats[np.concatenate(places)])
    trusts = windows.trusts(memory, backoff)
    assert trusts[0] > 0.95  # twenty tokens copied from a document of the memory
    assert trusts[len(ids[0]) - 20] < 0.6  # the second text began anew


def test_bytes_a_vocabulary_lacks_are_charged_to_the_mixture_too() -> None:
    memory = Memory(
        Segment.build(np.array([0, 1, 2, 3]), np.array([0, 4]), ["d"], tokenizer="t", vocab_size=20, separator=0)
    )
    record = TokenRecord.blank([np.array([1, 2])], 20)
    surveyed = Surveyed.of(memory, record)
    backoff, gate = fit(memory, surveyed, 0)
    score = DocumentScore("a", 0.0, 5, 2, 0)
    plain = mix(memory, backoff, gate, surveyed, [score], np.ones(20, np.int64))
    lacking = mix(memory, backoff, gate, surveyed, [DocumentScore("a", 0.0, 5, 2, 3)], np.ones(20, np.int64))
    assert lacking.mixed[0].bits - plain.mixed[0].bits == pytest.approx(24)
    assert lacking.memory[0].bits - plain.memory[0].bits == pytest.approx(24)
