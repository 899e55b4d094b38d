"""Linear and embedding layers that leave their weights undrawn: `init.initialise` draws all of them in one place."""

from __future__ import annotations

from torch import nn


class Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Nothing: drawing twice would cost a second per 100 M weights, and from torch's global generator."""


class Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        """Nothing, as in Linear."""
