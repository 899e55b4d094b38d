from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from groundup.nn.norms import RMSNorm
from groundup.nn.positions import rope_table, rotate


def test_rms_norm_equals_torchs_and_its_gradients_are_right() -> None:
    norm = RMSNorm(6, 1e-5).double()
    x = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    norm.weight.data.mul_(torch.arange(1.0, 7.0))
    torch.testing.assert_close(norm(x), F.rms_norm(x, (6,), norm.weight, 1e-5), rtol=0, atol=1e-12)
    assert gradcheck(lambda x, w: _with_weight(norm, x, w), (x, norm.weight.detach().clone().requires_grad_()))


def _with_weight(norm: RMSNorm, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.func.functional_call(norm, {"weight": weight}, (x,))


def test_rms_norm_of_tiny_and_of_no_numbers_is_finite() -> None:
    norm = RMSNorm(4, 1e-6)
    x = torch.tensor([[0.0, 0, 0, 0], [1e-20, 1e-20, 0, 0]], requires_grad=True)
    norm(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_rotation_keeps_lengths_and_turns_by_the_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64, generator=generator).expand(2, 1, 9, 1, 8).unbind()
    rotation = rope_table(torch.arange(9), 8, 10000.0, torch.float64)
    turned_q, turned_k = rotate(q, rotation), rotate(k, rotation)
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm(dim=-1))
    scores = turned_q[0, :, 0] @ turned_k[0, :, 0].T
    for distance in range(-8, 9):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along))


def test_rotation_has_right_gradients_in_any_memory_layout() -> None:
    rotation = rope_table(torch.tensor([[0, 5, 2], [7, 1, 1]]), 4, 100.0, torch.float64)
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert gradcheck(lambda x: rotate(x.transpose(1, 2), rotation), (x,))
