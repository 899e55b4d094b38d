"""Muon and Newton–Schulz against the singular value decomposition and torch.optim; AdamW against torch.optim.AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from groundup.nn.config import decoder_config
from groundup.nn.transformer import Transformer
from groundup.training.optimizers import Muon, Optimizers, Rates, sort_parameters
from groundup.training.orthogonalise import orthogonalise


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def polar(matrix: torch.Tensor) -> torch.Tensor:
    u, _, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    return (u @ v).float()


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 16, 48), (2, 48, 16), (1, 1, 7)])
def test_orthogonalise_is_the_polar_factor_of_the_svd(shape: tuple[int, ...]) -> None:
    matrices = normal(*shape) * torch.tensor([1e-4, 1.0, 1e3])[: shape[0], None, None]
    for got, matrix in zip(orthogonalise(matrices), matrices, strict=True):
        u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
        kept = s / s.norm() > 2e-3  # smaller directions are lifted only part of the way
        diagonal = torch.diagonal(u.T @ got.double() @ v.T)
        assert ((diagonal[kept] > 0.8) & (diagonal[kept] < 1.2)).all()
        residue = got.double() - u @ torch.diag(diagonal) @ v  # the singular vectors are those of the matrix
        assert residue.norm() < 1e-3 * got.norm()


def test_orthogonalise_of_zero_is_zero() -> None:
    assert torch.equal(orthogonalise(torch.zeros(2, 4, 6)), torch.zeros(2, 4, 6))


def test_muon_follows_its_definition_with_the_svd_in_place_of_newton_schulz() -> None:
    """Three steps; matrices of two shapes, so that stacking is in play."""
    names = {"a": (12, 12), "b": (12, 12), "c": (24, 6)}
    parameters = {name: nn.Parameter(normal(*shape, seed=i)) for i, (name, shape) in enumerate(names.items())}
    expected = {name: p.detach().clone() for name, p in parameters.items()}
    momenta = {name: torch.zeros_like(p) for name, p in parameters.items()}
    muon = Muon(parameters, momentum=0.9, weight_decay=0.1)
    for step in range(3):
        for i, (name, p) in enumerate(parameters.items()):
            p.grad = normal(*p.shape, seed=100 * step + i)
            momenta[name] = 0.9 * momenta[name] + 0.1 * p.grad
            direction = polar(0.1 * p.grad + 0.9 * momenta[name]) * max(1.0, p.shape[0] / p.shape[1]) ** 0.5
            expected[name] = expected[name] * (1 - 0.05 * 0.1) - 0.05 * direction
        muon.step(0.05)
    for name, p in parameters.items():
        moved = (p.detach() - expected[name]).norm() / (3 * 0.05 * min(p.shape) ** 0.5)
        assert moved < 0.15, name  # Newton–Schulz is within .14 of each singular value


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_goes_where_torchs_goes() -> None:
    ours, theirs = nn.Parameter(normal(32, 16)), nn.Parameter(normal(32, 16))
    start = ours.detach().clone()
    muon = Muon({"w": ours}, momentum=0.95)
    torchs = torch.optim.Muon([theirs], lr=0.02, momentum=0.95, weight_decay=0.0, nesterov=True)
    for step in range(4):
        ours.grad = normal(32, 16, seed=step + 1)
        theirs.grad = ours.grad.clone()
        muon.step(0.02)
        torchs.step()
    a, b = (ours - start).flatten(), (theirs - start).flatten()
    assert torch.cosine_similarity(a, b, 0) > 0.97  # other polynomials and bf16 there
    assert 0.7 < a.norm() / b.norm() < 1.4


def test_other_parameters_follow_torchs_adamw() -> None:
    config = decoder_config(50, 16, 1, context_length=8, head_dim=8)
    ours, theirs = Transformer(config), Transformer(config)
    optimizers = Optimizers(ours, Rates(embeddings=0.01, vectors=0.003))
    others = [dict(theirs.named_parameters())[n] for n in sort_parameters(theirs)[1]["embeddings"]]
    reference = torch.optim.AdamW(others, lr=0.01, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    for step in range(5):
        for i, (p, q) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
            p.grad = normal(*p.shape, seed=10 * step + i)
            q.grad = p.grad.clone()
        reference.param_groups[0]["lr"] = 0.01 * (1 - step / 5)
        optimizers.step(1 - step / 5)
        reference.step()
    torch.testing.assert_close(ours.embedding.weight, theirs.embedding.weight, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_has_one_optimizer(tied: bool) -> None:
    model = Transformer(decoder_config(50, 16, 2, context_length=8, head_dim=8, tie_embeddings=tied))
    matrices, groups = sort_parameters(model)
    assert all("attention" in name or "ffn" in name for name in matrices)
    assert list(groups["embeddings"]) == ["embedding.weight"]
    assert ("head" in groups) is not tied
    named = [*matrices, *(name for group in groups.values() for name in group)]
    assert sorted(named) == sorted(name for name, _ in model.named_parameters())


def test_state_restores_an_optimizer_to_the_bit() -> None:
    config = decoder_config(50, 16, 2, context_length=8, head_dim=8)
    runs = []
    for cut in (None, 2):
        model = Transformer(config)
        optimizers = Optimizers(model, Rates())
        for step in range(4):
            if step == cut:
                state = {name: tensor.clone() for name, tensor in optimizers.state().items()}
                optimizers = Optimizers(model, Rates())
                optimizers.load(state)
            for i, p in enumerate(model.parameters()):
                p.grad = normal(*p.shape, seed=10 * step + i)
            optimizers.step(0.5)
        runs.append(model)
    for p, q in zip(runs[0].parameters(), runs[1].parameters(), strict=True):
        assert torch.equal(p, q)


def test_muon_refuses_what_is_no_matrix() -> None:
    with pytest.raises(ValueError, match="bias has 1 dimensions"):
        Muon({"bias": nn.Parameter(torch.zeros(3))})
