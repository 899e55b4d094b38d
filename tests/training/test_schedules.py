"""Schedules against values worked out by hand and against torch's own."""

from __future__ import annotations

import math

import pytest
import torch

from groundup.training.schedules import Schedule


def test_warm_up_constant_decay_has_these_values() -> None:
    factors = [Schedule(10, warmup_steps=2, decay_steps=4).factor(step) for step in range(10)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_decay_ends_above_the_final_share_by_one_step() -> None:
    schedule = Schedule(10, decay_steps=9, final_share=0.1)
    assert schedule.factor(0) == 1
    assert [schedule.factor(step) for step in range(1, 10)] == pytest.approx([0.1 + 0.09 * k for k in range(9, 0, -1)])


def test_cosine_is_torchs() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    ours = Schedule(20, decay_steps=19, decay="cosine")
    for step in range(20):
        assert ours.factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        theirs.step()


def test_warm_up_and_decay_that_overlap_take_the_smaller() -> None:
    schedule = Schedule(4, warmup_steps=4, decay_steps=4)
    assert [schedule.factor(step) for step in range(4)] == pytest.approx([0.25, 0.5, 0.4, 0.2])


def test_factors_stay_between_zero_and_one() -> None:
    for steps in (1, 2, 7):
        for decay in ("linear", "cosine"):
            schedule = Schedule(steps, 1, steps, decay)  # type: ignore[arg-type]
            assert all(0 < schedule.factor(step) <= 1 and math.isfinite(schedule.factor(step)) for step in range(steps))


WRONG = [{"steps": 0}, {"steps": 3, "final_share": 2.0}, {"steps": 3, "decay": "exponential"}]


@pytest.mark.parametrize("wrong", WRONG)
def test_schedules_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"set|from"):
        Schedule(**wrong)  # type: ignore[arg-type]
