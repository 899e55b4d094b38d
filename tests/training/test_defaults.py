"""The rule keeps its promises: time, what was asked for, more for more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from groundup.training.defaults import MAX_EPOCHS, choose_decoder, choose_encoder, speed
from groundup.training.plan import EncoderPlan, TrainingPlan


@given(seconds=st.floats(1, 1e5), gflops=st.floats(1, 1e5), corpus=st.integers(100, 10**10))
def test_the_choice_fits_the_time_and_the_corpus(seconds: float, gflops: float, corpus: int) -> None:
    chosen = choose_decoder(seconds, gflops, corpus)
    spent = 3 * chosen.config.flops_per_token(chosen.plan.length) * chosen.plan.tokens
    assert spent <= seconds * speed(gflops, "fp32") * 1.001 or chosen.plan.tokens == 1
    assert 1 <= chosen.plan.tokens <= MAX_EPOCHS * corpus
    assert set(chosen.reasons) == {"vocabulary", "shape", "tokens"}


def test_more_time_never_means_a_smaller_model() -> None:
    sizes = [choose_decoder(60 * 4**k, 130, 10**9, vocab_size=4096).config.parameters() for k in range(8)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 10 * sizes[0]


def test_little_text_means_a_small_model_whatever_the_time() -> None:
    assert choose_decoder(1e6, 1e4, 200_000).config.parameters() < 2e6


def test_what_is_asked_for_is_kept() -> None:
    chosen = choose_decoder(
        240, 130, 10**7, vocab_size=777, width=96, layers=5, length=64, batch_tokens=512, tokens=12_345, seed=9
    )
    config, plan = chosen.config, chosen.plan
    assert (config.vocab_size, config.width, config.layers, config.context_length) == (777, 96, 5, 64)
    assert (plan.tokens, plan.batch_tokens, plan.length, plan.seed) == (12_345, 512, 64, 9)
    assert set(chosen.reasons.values()) == {"as asked for"}
    assert choose_decoder(240, 130, 10**7, number_format="fp16").plan.number_format == "fp32"


def test_encoder_fits_its_time() -> None:
    for seconds in (10, 60, 600):
        chosen = choose_encoder(seconds, 130, 4096)
        config, plan = chosen.config, chosen.plan
        head = 2 * config.width * config.vocab_size
        masked = 3 * (config.flops_per_token(plan.length) - head * (1 - plan.masked_share)) * plan.masked_tokens
        tokens = plan.pair_examples * (plan.query_length + plan.passage_length)
        pairs = 3 * (config.flops_per_token(plan.passage_length) - head) * tokens
        assert masked + pairs == pytest.approx(seconds * speed(130, "fp32"), rel=0.01)
    asked = choose_encoder(60, 130, 4096, width=64, layers=2, masked_tokens=5, pair_examples=7)
    assert (asked.config.width, asked.config.layers) == (64, 2)
    assert (asked.plan.masked_tokens, asked.plan.pair_examples) == (5, 7)


def test_plans_come_back_from_json_as_they_were() -> None:
    for kind, plan in (
        (TrainingPlan, choose_decoder(60, 130, 10**6).plan),
        (EncoderPlan, choose_encoder(60, 130, 4096).plan),
    ):
        assert TypeAdapter(kind).validate_python(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_bounded_plan_keeps_its_pace_and_its_least_step() -> None:
    plan = TrainingPlan(tokens=1_000_000, batch_tokens=2048, save_every_tokens=100_000, evaluate_every_tokens=100_000)
    assert plan.bounded(2_000_000) is plan
    short = plan.bounded(200_000)
    assert (short.tokens, short.save_every_tokens, short.evaluate_every_tokens) == (200_000, 20_000, 20_000)
    assert plan.bounded(5).tokens == 2048
