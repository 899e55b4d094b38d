"""Figures of a run's health against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from groundup.errors import RecipeError
from groundup.training.diagnostics import SPIKE_WINDOW, Meter, UpdateRatio


def read(meter: Meter, *losses: float, norm: float = 1.0) -> dict[str, float]:
    for loss in losses:
        meter.add(torch.tensor(4 * loss), torch.tensor(4))
    meter.norm(torch.tensor(norm))
    return meter.read(0)


def test_loss_is_the_mean_over_targets_not_over_parts() -> None:
    meter = Meter()
    meter.add(torch.tensor(10.0), torch.tensor(2))
    meter.add(torch.tensor(2.0), torch.tensor(6))
    meter.norm(torch.tensor(0.5))
    meter.norm(torch.tensor(3.0))
    assert meter.read(0) == {"loss": 1.5, "gradient_norm": 3.0, "spike": 0.0}
    assert read(meter, 2.0)["loss"] == 2.0  # and begins anew


def test_a_jump_is_a_spike_and_a_slow_rise_is_not() -> None:
    meter = Meter()
    losses = [5 - 0.1 * i + 0.02 * (-1) ** i for i in range(SPIKE_WINDOW)]
    assert not any(read(meter, loss)["spike"] for loss in losses)
    assert not read(meter, losses[-1] + 0.1)["spike"]
    assert read(meter, 20.0)["spike"]


@pytest.mark.parametrize(("loss", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (2.0, float("inf"))])
def test_what_is_no_number_stops_the_run_with_a_mend(loss: float, norm: float) -> None:
    with pytest.raises(RecipeError, match="Halve the learning rates"):
        read(Meter(), loss, norm=norm)


def test_update_ratio_is_the_relative_change_of_the_matrices() -> None:
    model = torch.nn.Linear(3, 4)
    with torch.no_grad():
        model.weight.fill_(2.0)
    ratio = UpdateRatio(model)
    with torch.no_grad():
        model.weight.mul_(1.25)
        model.bias.fill_(100.0)
    assert ratio.read() == pytest.approx(0.25)
