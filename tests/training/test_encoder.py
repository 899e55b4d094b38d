"""The encoder's two parts: what they learn, and that a run cut off goes on to the same weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.errors import ResumeError
from groundup.nn.config import decoder_config, encoder_config
from groundup.nn.encode import embed, pad
from groundup.nn.losses import IGNORE
from groundup.tokens.shards import Shards, write_shards
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from groundup.training import encoder as room
from groundup.training.encoder import Pair, hide, pair_rows, train_encoder
from groundup.training.optimizers import Rates
from groundup.training.plan import EncoderPlan


@dataclass(frozen=True)
class Text:
    id: str
    text: str


VERBS = ["open", "close", "read", "write", "parse", "merge", "split", "sort"]
VERBS += ["count", "hash", "copy", "move", "send", "fetch", "draw", "print"]
NOUNS = ["file", "socket", "image", "table", "matrix", "string", "queue", "graph", "token", "index", "vector", "buffer"]
SAMENESS = {"read": "load", "write": "store", "parse": "decode", "sort": "order", "count": "tally", "copy": "clone"}


def pair(verb: str, noun: str) -> Pair:
    """A question in words and code in other words: only training can link "order" with sort."""
    asked = SAMENESS.get(verb, verb)
    return f"{asked} the {noun}", f"def {verb}_{noun}(x):\n    return x.{verb}({noun!r})"


ALL = [pair(verb, noun) for verb in VERBS for noun in NOUNS]
ORDER = np.random.default_rng(3).permutation(len(ALL))
TRAIN, TEST = [ALL[i] for i in ORDER[:160]], [ALL[i] for i in ORDER[160:]]
PLAN = EncoderPlan(
    masked_tokens=20 * 512, pair_examples=60 * 32, batch_tokens=512, length=32, pair_batch=32, query_length=16,
    passage_length=32, save_every=15, report_every=5, pair_rate_share=1.0, rates=Rates(embeddings=0.01),
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe([side for p in ALL for side in p], 400)


@pytest.fixture(scope="module")
def shards(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    texts = [Text(f"{i:032x}", side) for i, p in enumerate(TRAIN) for side in p]
    return write_shards(tmp_path_factory.mktemp("shards"), tokenizer, texts)


def recall_at_1(model: torch.nn.Module, tokenizer: Tokenizer, pairs: list[Pair]) -> float:
    with torch.no_grad():
        sides = [embed(model, *pad([tokenizer.encode(p[i]) for p in pairs], 0)) for i in (0, 1)]  # type: ignore[arg-type]
    return float(((sides[0] @ sides[1].T).argmax(1) == torch.arange(len(pairs))).float().mean())


def test_it_learns_to_retrieve_what_it_was_not_trained_on(tokenizer: Tokenizer, shards: Shards, tmp_path: Path) -> None:
    config = encoder_config(tokenizer.vocab_size, 32, 2, context_length=32, head_dim=16)
    untrained = train_encoder(
        shards, [], tokenizer, config, dataclasses.replace(PLAN, masked_tokens=1), tmp_path / "untrained"
    )
    trained = train_encoder(shards, TRAIN, tokenizer, config, PLAN, tmp_path / "trained")
    assert untrained.pair_curve == []
    assert trained.masked_curve[-1]["loss"] < trained.masked_curve[0]["loss"] - 0.5
    assert trained.pair_curve[-1]["loss"] < 0.3 * np.log(32)
    before, after = (recall_at_1(run.model, tokenizer, TEST) for run in (untrained, trained))
    assert after > max(0.6, before + 0.2)  # 32 candidates: .03 by chance


@pytest.mark.parametrize("part", ["masked", "pairs"])
def test_a_run_cut_off_ends_in_the_same_bits(
    tokenizer: Tokenizer, shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    config = encoder_config(tokenizer.vocab_size, 16, 1, context_length=32, head_dim=8)
    plan = dataclasses.replace(PLAN, masked_tokens=8 * 512, pair_examples=8 * 32, save_every=3)
    whole = train_encoder(shards, TRAIN, tokenizer, config, plan, tmp_path / "whole")

    class CutOffError(Exception):
        pass

    def cut(label: str, done: float, total: float) -> None:
        if part in label and done > total / 2:
            raise CutOffError

    with pytest.raises(CutOffError):
        train_encoder(shards, TRAIN, tokenizer, config, plan, tmp_path / "cut", cut)
    again = train_encoder(shards, TRAIN, tokenizer, config, plan, tmp_path / "cut")
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ResumeError, match="pairs was"):
        train_encoder(shards, TRAIN[:-1], tokenizer, config, plan, tmp_path / "cut")


def test_hidden_tokens_are_the_targets_and_separators_stay(shards: Shards, tokenizer: Tokenizer) -> None:
    plan = dataclasses.replace(PLAN, masked_share=0.3)
    windows = np.random.default_rng(0).integers(0, 390, (200, 100))
    windows[:, ::10] = shards.separator_id
    mask = tokenizer.special["<|mask|>"]
    shown, targets = hide(windows, shards, mask, plan, 4)
    original, chosen = torch.from_numpy(windows), targets != IGNORE
    assert torch.equal(targets[chosen], original[chosen])
    assert torch.equal(shown[~chosen], original[~chosen])
    assert not chosen[:, ::10].any()
    assert chosen.float().mean() == pytest.approx(0.3 * 0.9, abs=0.01)
    assert (shown[chosen] == mask).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (shown[chosen] == original[chosen]).float().mean() == pytest.approx(0.1, abs=0.02)
    again = hide(windows, shards, mask, plan, 4)
    assert torch.equal(shown, again[0])
    assert not torch.equal(shown, hide(windows, shards, mask, plan, 5)[0])


def test_an_epoch_takes_no_pair_twice() -> None:
    for epoch in range(3):
        rows = [row for step in range(5) for row in pair_rows(53, 10, 1, epoch * 5 + step)]
        assert len(set(rows)) == 50
        assert set(rows) < set(range(53))


def test_pairs_of_one_passage_or_one_query_are_twins() -> None:
    pairs = [("a", "x"), ("b", "x"), ("a", "y"), ("c", "z")]
    assert room._twins(pairs).tolist() == [0, 0, 0, 3]


def test_an_encoder_is_not_causal(tokenizer: Tokenizer, shards: Shards, tmp_path: Path) -> None:
    config = decoder_config(tokenizer.vocab_size, 16, 1, context_length=32, head_dim=8)
    with pytest.raises(ValueError, match="set causal=False"):
        train_encoder(shards, TRAIN, tokenizer, config, PLAN, tmp_path)
