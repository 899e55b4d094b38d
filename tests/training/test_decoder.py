"""The loop: what it learns, that accumulation changes nothing, that a killed run goes on to the same weights."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from groundup.errors import RecipeError, ResumeError
from groundup.nn.config import TransformerConfig, decoder_config
from groundup.nn.init import initialise
from groundup.nn.transformer import Transformer
from groundup.tokens.loader import Batches
from groundup.tokens.shards import Shards
from groundup.training.decoder import estimate_bits_per_byte, train_decoder
from groundup.training.optimizers import Optimizers, Rates
from groundup.training.plan import TrainingPlan
from groundup.training.rate import measure_rate

CONFIG = decoder_config(40, 16, 2, context_length=16, head_dim=8)
PLAN = TrainingPlan(
    tokens=12 * 64, batch_tokens=64, length=16, save_every_tokens=128, evaluate_every_tokens=256, report_every=3
)


def shards(count: int = 4000) -> Shards:
    """A stream with a rule in it: each token is mostly the one before plus 3."""
    random = np.random.default_rng(5)
    steps = np.where(random.random(count) < 0.8, 3, random.integers(0, 40, count))
    tokens = (np.cumsum(steps) % 40).astype(np.uint16)
    return Shards(tokens, np.array([0, count]), np.array([count * 2]), ["a" * 32], "", 0, 40, "digest")


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in model.parameters()]


def test_training_learns_the_rule(tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, tokens=120 * 128, batch_tokens=128, report_every=10)
    result = train_decoder(shards(20_000), CONFIG, plan, tmp_path, held_out=shards(500))
    losses = [point["loss"] for point in result.curve if "loss" in point]
    assert losses[0] > 3  # ln 40 = 3.69
    entropy = -(0.805 * np.log(0.805) + 39 * 0.005 * np.log(0.005))  # .8 + .2/40, else evenly: 1.21 nats
    assert entropy * 0.8 < losses[-1] < entropy * 1.4
    bits = result.curve[-1]["held_out_bits_per_byte"]
    assert bits == pytest.approx(losses[-1] / np.log(2) / 2, rel=0.15)  # two bytes a token
    assert [point["step"] for point in result.curve] == sorted({point["step"] for point in result.curve})
    assert all(0 < point["update_ratio"] < 0.5 for point in result.curve if "update_ratio" in point)


def test_the_loop_is_what_a_plain_loop_does(tmp_path: Path) -> None:
    """The same steps written out with torch's own loss and mean."""
    plan = dataclasses.replace(PLAN, micro_tokens=32, clip=1e9)
    trained = train_decoder(shards(), CONFIG, plan, tmp_path).model
    plain = Transformer(CONFIG)
    initialise(plain, plan.seed)
    optimizers, batches = Optimizers(plain, plan.rates), Batches(shards(), 4, 16, plan.seed)
    for step in range(12):
        tokens, targets = (torch.from_numpy(array) for array in batches.at(step))
        F.cross_entropy(plain.logits(plain(tokens)).flatten(0, 1), targets.flatten()).backward()
        optimizers.step(plan.schedule.factor(step))
    for a, b in zip(weights(trained), weights(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-4)


def test_loss_is_the_same_for_any_accumulation(tmp_path: Path) -> None:
    """One batch in 1, 2, 3 (uneven: 3 + 1 rows) and 4 parts."""
    runs = []
    for rows in (4, 2, 3, 1):
        plan = dataclasses.replace(PLAN, micro_tokens=rows * 16)
        runs.append(train_decoder(shards(), CONFIG, plan, tmp_path / str(rows)))
    for other in runs[1:]:
        assert [p["loss"] for p in other.curve] == pytest.approx([p["loss"] for p in runs[0].curve], rel=1e-4)
        norms = [[p["gradient_norm"] for p in run.curve] for run in (other, runs[0])]
        assert norms[0] == pytest.approx(norms[1], rel=1e-3)
        for a, b in zip(weights(other.model), weights(runs[0].model), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


WORKER = """
import sys
from pathlib import Path
import tests.training.test_decoder as here
import torch
torch.set_num_threads(1)
def progress(label, done, total):
    print(int(done), flush=True)
work, held_out = Path(sys.argv[1]), here.shards(300)
here.train_decoder(here.shards(), here.CONFIG, here.LONG, work, held_out=held_out, progress=progress)
"""
LONG = dataclasses.replace(PLAN, tokens=60 * 64, save_every_tokens=5 * 64, report_every=1)


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        undisturbed = train_decoder(shards(), CONFIG, LONG, tmp_path / "whole", held_out=shards(300))
        for kill_at in (9, 41):
            command = [sys.executable, "-c", WORKER, str(tmp_path / "cut")]
            root = Path(__file__).resolve().parents[2]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if int(line) >= kill_at * 64:
                        os.kill(process.pid, signal.SIGKILL)
                        break
            assert process.returncode == -signal.SIGKILL
        result = train_decoder(shards(), CONFIG, LONG, tmp_path / "cut", held_out=shards(300))
    finally:
        torch.set_num_threads(threads)
    assert result.resumed_at is not None
    assert result.resumed_at >= 40
    for a, b in zip(weights(result.model), weights(undisturbed.model), strict=True):
        assert torch.equal(a, b)
    for point in (*result.curve, *undisturbed.curve):
        point.pop("seconds", None)
    assert result.curve == undisturbed.curve  # evaluations that a kill fell before are there too
    kept = sorted(path.name for path in (tmp_path / "cut" / "checkpoints").glob("step-*"))
    assert kept == ["step-000000055", "step-000000060"]


def test_a_finished_run_is_taken_as_it_is(tmp_path: Path) -> None:
    first = train_decoder(shards(), CONFIG, PLAN, tmp_path)
    begun = time.perf_counter()
    again = train_decoder(shards(), CONFIG, PLAN, tmp_path)
    assert again.resumed_at == PLAN.steps
    assert again.curve == first.curve
    assert again.seconds == first.seconds < time.perf_counter() - begun + first.seconds
    assert all(torch.equal(a, b) for a, b in zip(weights(first.model), weights(again.model), strict=True))


@pytest.mark.parametrize("what", ["plan", "config", "shards", "threads"])
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path: Path, what: str) -> None:
    train_decoder(shards(), CONFIG, PLAN, tmp_path)
    data, config, plan = shards(), CONFIG, PLAN
    if what == "plan":
        plan = dataclasses.replace(PLAN, rates=Rates(matrices=0.03))
    if what == "config":
        config = dataclasses.replace(CONFIG, rope_theta=500.0)
    if what == "shards":
        data = dataclasses.replace(data, digest="other")
    if what == "threads":
        (path,) = tmp_path.glob("checkpoints/step-*12/state.json")
        document = json.loads(path.read_text())
        document["identity"]["surroundings"]["threads"] = "977"
        path.write_text(json.dumps(document))
    names = {
        "plan": "plan.rates.matrices was 0.02, is now 0.03",
        "config": "config.rope_theta was 10000.0, is now 500.0",
        "shards": "shards was digest, is now other",
        "threads": "surroundings.threads was 977",
    }
    with pytest.raises(ResumeError, match=names[what]):
        train_decoder(data, config, plan, tmp_path)


def test_a_broken_checkpoint_is_refused_and_the_one_before_goes_on(tmp_path: Path) -> None:
    whole = train_decoder(shards(), CONFIG, PLAN, tmp_path)
    newest = sorted(tmp_path.glob("checkpoints/step-*"))[-1]
    (newest / "state.safetensors").write_bytes((newest / "state.safetensors").read_bytes()[:1000])
    with pytest.raises(ResumeError, match="can't be read"):
        train_decoder(shards(), CONFIG, PLAN, tmp_path)
    for path in newest.iterdir():
        path.unlink()
    newest.rmdir()
    again = train_decoder(shards(), CONFIG, PLAN, tmp_path)
    assert again.resumed_at == 10
    assert all(torch.equal(a, b) for a, b in zip(weights(whole.model), weights(again.model), strict=True))


def test_a_loss_that_is_no_number_stops_the_run_and_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(100))
    real = Optimizers.step

    def poisoned(self: Optimizers, factor: float) -> None:
        real(self, factor)
        if next(steps) == 6:
            self._parameters[0].data.fill_(float("nan"))

    monkeypatch.setattr(Optimizers, "step", poisoned)
    with pytest.raises(RecipeError, match="step 8"):
        train_decoder(shards(), CONFIG, PLAN, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoints/step-*"))[-1] == "step-000000006"


def test_shards_of_a_larger_vocabulary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="40 tokens, the model 30"):
        train_decoder(shards(), dataclasses.replace(CONFIG, vocab_size=30), PLAN, tmp_path)


def test_bits_per_byte_of_a_model_that_knows_nothing_is_the_log_of_the_vocabulary() -> None:
    model = Transformer(CONFIG)
    with torch.no_grad():
        model.embedding.weight.zero_()  # tied: all logits 0
    assert estimate_bits_per_byte(model, shards(2000), PLAN) == pytest.approx(np.log2(40) / 2, rel=1e-3)


def test_rate_counts_the_tokens_of_the_fastest_step() -> None:
    times = iter([0.0, 10.0, 10.5, 20.0, 20.25, 30.0, 33.0, 40.0])  # after the third, 3 seconds are spent
    config: TransformerConfig = CONFIG
    assert measure_rate(config, 2, 8, clock=lambda: next(times)) == pytest.approx(16 / 0.25)


def test_bf16_products_train_to_about_the_same_loss(tmp_path: Path) -> None:
    losses = []
    for number_format in ("fp32", "bf16"):
        plan = dataclasses.replace(PLAN, number_format=number_format)
        result = train_decoder(shards(), CONFIG, plan, tmp_path / number_format)
        assert all(parameter.dtype == torch.float32 for parameter in result.model.parameters())
        losses.append([point["loss"] for point in result.curve])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
