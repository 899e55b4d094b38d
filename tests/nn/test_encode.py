from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from groundup.nn.encode import embed, pad, pool
from tests.nn.test_config import SMALL
from tests.nn.test_transformer import random_model


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_vector_does_not_depend_on_its_neighbours(pooling: str) -> None:
    model = random_model(replace(SMALL, causal=False, embedding_norm=True))
    rows = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10]]
    tokens, lengths = pad(rows, padding_id=0)
    with torch.no_grad():
        together = embed(model, tokens, lengths, pooling=pooling)
        alone = torch.cat([embed(model, torch.tensor([row]), None, pooling=pooling) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3, dtype=torch.float64))


def test_mean_pooling_leaves_padding_out() -> None:
    hidden = torch.tensor([[[1.0, 2], [3, 4], [99, 99]]])
    assert pool(hidden, torch.tensor([2]), "mean").tolist() == [[2.0, 3.0]]
    assert pool(hidden, torch.tensor([2]), "cls").tolist() == [[1.0, 2.0]]


def test_pad_keeps_the_tokens() -> None:
    tokens, lengths = pad([[1, 2], [3]], padding_id=9)
    assert tokens.tolist() == [[1, 2], [3, 9]]
    assert lengths.tolist() == [2, 1]
