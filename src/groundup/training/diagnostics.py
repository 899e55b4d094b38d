"""What a run says about its health: loss, gradient norm, size of the updates, spikes, and a stop at the first NaN."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn

from groundup.errors import RecipeError

SPIKE_WINDOW = 20  # reports
SPIKE_DEVIATIONS = 6.0  # a loss so many standard deviations above the window's mean is a spike


class Meter:
    """Sums on the device between two reports; `read` is the only place that waits for it."""

    def __init__(self) -> None:
        self._nats: list[Tensor] = []
        self._counts: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._window: deque[float] = deque(maxlen=SPIKE_WINDOW)

    def add(self, nats: Tensor, count: Tensor) -> None:
        """nats: summed loss of a micro-batch, detached. count: its targets."""
        self._nats.append(nats)
        self._counts.append(count)

    def norm(self, gradient_norm: Tensor) -> None:
        self._norms.append(gradient_norm)

    def check(self, step: int) -> None:
        """Raises RecipeError if a loss or a gradient norm since the last report is no finite number."""
        seen = [*self._nats, *self._norms]
        if seen and not bool(torch.isfinite(torch.stack(seen)).all()):
            raise RecipeError(
                f"training came apart at or before step {step + 1}: the loss or its gradient is no finite number",
                mend="Halve the learning rates or lengthen the warm-up; the last checkpoint is sound",
                place="training",
            )

    def read(self, step: int) -> dict[str, float]:
        """Mean loss in nats per target and largest gradient norm since the last call. Raises RecipeError as `check`."""
        self.check(step)
        loss = float(torch.stack(self._nats).double().sum() / torch.stack(self._counts).sum())
        norm = float(torch.stack(self._norms).max())
        spike = self._is_spike(loss)
        self._window.append(loss)
        self._nats, self._norms, self._counts = [], [], []
        return {"loss": loss, "gradient_norm": norm, "spike": float(spike)}

    def _is_spike(self, loss: float) -> bool:
        if len(self._window) < SPIKE_WINDOW // 2:
            return False
        mean = sum(self._window) / len(self._window)
        deviation = (sum((value - mean) ** 2 for value in self._window) / len(self._window)) ** 0.5
        return bool(loss > mean + SPIKE_DEVIATIONS * max(deviation, 1e-3 * abs(mean)))


class UpdateRatio:
    """‖change of the weights‖ / ‖weights‖ over one step; about 1e-3 is usual. Copies the weights: report steps only."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [parameter for parameter in model.parameters() if parameter.ndim == 2]
        self._before = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def read(self) -> float:
        change: float = sum(float((p - b).square().sum()) for p, b in zip(self._parameters, self._before, strict=True))
        size: float = sum(float(b.square().sum()) for b in self._before)
        return float((change / max(size, 1e-30)) ** 0.5)
