from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from groundup.nn import losses
from groundup.nn.losses import (
    IGNORE,
    info_nce,
    margin_squares,
    masked_token_loss,
    summed_cross_entropy,
    summed_squares,
    token_nats,
)


@dataclass
class Head:
    output_weight: Tensor
    output_bias: Tensor | None
    logit_softcap: float = 0.0

    def readout(self, hidden: Tensor) -> Tensor:
        return hidden


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK_BYTES", 1)
    monkeypatch.setattr(losses, "MIN_CHUNK_TOKENS", 3)
    monkeypatch.setattr(losses, "SMALL_CHUNK_NUMBERS", 14)


TARGETS = torch.tensor([[0, 6, 2, IGNORE, 1], [IGNORE, IGNORE, IGNORE, 3, 3]])


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("with_bias", [True, False])
def test_chunked_loss_and_gradients_equal_torchs(with_bias: bool) -> None:
    hidden, weight, bias = numbers(2, 5, 4), numbers(7, 4, seed=1), numbers(7, seed=2) if with_bias else None
    total, count = summed_cross_entropy(Head(weight, bias), hidden, TARGETS)
    expected = F.cross_entropy(
        F.linear(hidden, weight, bias).flatten(0, 1), TARGETS.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    assert count.item() == 6
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)
    wanted = [hidden, weight] + ([bias] if bias is not None else [])
    for ours, theirs in zip(
        torch.autograd.grad(total / count, wanted), torch.autograd.grad(expected / 6, wanted), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("small_chunks")
def test_chunked_loss_passes_gradcheck() -> None:
    def loss(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return summed_cross_entropy(Head(weight, bias), hidden, TARGETS)[0]

    assert gradcheck(loss, (numbers(2, 5, 4), numbers(7, 4, seed=1), numbers(7, seed=2)))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
def test_smoothing_z_loss_and_softcap_equal_torchs(smoothing: float, z_loss: float, softcap: float) -> None:
    hidden, weight, bias = numbers(2, 5, 4), numbers(7, 4, seed=1), numbers(7, seed=2)
    head = Head(weight, bias, softcap)
    total, _ = summed_cross_entropy(head, hidden, TARGETS, label_smoothing=smoothing, z_loss=z_loss)
    logits = F.linear(hidden, weight, bias).flatten(0, 1)
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    expected = F.cross_entropy(
        logits, TARGETS.flatten(), ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing
    )
    expected = expected + z_loss * (logits.logsumexp(-1).square() * (TARGETS.flatten() != IGNORE)).sum()
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)
    wanted = (hidden, weight, bias)
    for ours, theirs in zip(torch.autograd.grad(total, wanted), torch.autograd.grad(expected, wanted), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    if not smoothing and not z_loss:
        torch.testing.assert_close(token_nats(head, hidden, TARGETS).sum(), expected, rtol=0, atol=1e-12)


def test_distillation_losses_are_sums_and_counts() -> None:
    student, teacher, other, far = (numbers(6, seed=seed) for seed in range(4))
    total, count = summed_squares(student, teacher)
    torch.testing.assert_close(total / count, F.mse_loss(student, teacher))
    total, count = margin_squares(student, teacher, other, far)
    torch.testing.assert_close(total / count, F.mse_loss(student - teacher, other - far))
    shifted, _ = margin_squares(student + 5, teacher + 5, other, far)
    torch.testing.assert_close(shifted, total)


@pytest.mark.parametrize(("smoothing", "z_loss"), [(1.0, 0.0), (-0.1, 0.0), (0.0, -1.0)])
def test_impossible_loss_settings_are_refused(smoothing: float, z_loss: float) -> None:
    with pytest.raises(ValueError, match="set a share below 1"):
        summed_cross_entropy(
            Head(numbers(7, 4), None), numbers(2, 4), torch.tensor([1, 2]), label_smoothing=smoothing, z_loss=z_loss
        )


def test_huge_logits_stay_finite() -> None:
    hidden = torch.full((3, 2), 1e4, requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [0.5, 0.5]], requires_grad=True)
    total, _ = summed_cross_entropy(Head(weight, None), hidden, torch.tensor([0, 1, 2]))
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(hidden.grad).all()
    torch.testing.assert_close(total.item(), 4e4 + 1e4)


def test_no_counted_targets_is_zero_with_zero_gradient() -> None:
    hidden, weight = numbers(2, 4), numbers(7, 4, seed=1)
    for loss in (summed_cross_entropy, masked_token_loss):
        total, count = loss(Head(weight, None), hidden, torch.tensor([IGNORE, IGNORE]))
        assert (total.item(), count.item()) == (0.0, 0)
        assert all(not grad.any() for grad in torch.autograd.grad(total, (hidden, weight)))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("with_bias", [True, False])
def test_under_autocast_products_are_rounded_and_sums_are_not(with_bias: bool) -> None:
    """Against float64 on the same numbers: no farther than torch's own linear layer and loss under autocast."""
    rows, weight = numbers(2, 5, 4).float(), numbers(7, 4, seed=1).float()
    bias = numbers(7, seed=2).float() if with_bias else None
    inputs = [x.detach().requires_grad_() for x in (rows, weight) + (() if bias is None else (bias,))]

    def gradients(total: torch.Tensor) -> list[torch.Tensor]:
        return [total.detach(), *torch.autograd.grad(total, inputs)]

    def torchs(*given: torch.Tensor) -> torch.Tensor:
        logits = F.linear(*given).flatten(0, 1)
        return F.cross_entropy(logits, TARGETS.flatten(), ignore_index=IGNORE, reduction="sum")

    with torch.autocast("cpu", torch.bfloat16):
        head = Head(inputs[1], inputs[2] if with_bias else None)
        ours = gradients(summed_cross_entropy(head, inputs[0], TARGETS)[0])
        theirs = gradients(torchs(*inputs))
    exact = [x.detach().double().requires_grad_() for x in inputs]
    total = torchs(*exact)
    for mine, their, true in zip(ours, theirs, [total.detach(), *torch.autograd.grad(total, exact)], strict=True):
        assert mine.dtype == torch.float32
        assert (mine - true).abs().max() <= 2 * (their - true).abs().max() + 2**-8 * true.abs().max()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([IGNORE, 0, 1, 2, 3, 4, 5, 6]), min_size=1, max_size=20), st.integers(1, 9))
def test_nats_of_tokens_sum_to_the_loss_whatever_the_chunks(targets: list[int], chunk: int) -> None:
    hidden, head = numbers(len(targets), 4), Head(numbers(7, 4, seed=1), numbers(7, seed=2))
    before = losses.CHUNK_BYTES, losses.MIN_CHUNK_TOKENS
    losses.CHUNK_BYTES, losses.MIN_CHUNK_TOKENS = 1, chunk
    try:
        nats = token_nats(head, hidden, torch.tensor(targets))
        total, count = summed_cross_entropy(head, hidden, torch.tensor(targets))
        masked, masked_count = masked_token_loss(head, hidden, torch.tensor(targets))
    finally:
        losses.CHUNK_BYTES, losses.MIN_CHUNK_TOKENS = before
    torch.testing.assert_close(nats.sum(), total.detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(masked, total, rtol=0, atol=1e-10)
    assert count == masked_count == sum(target != IGNORE for target in targets)
    assert all(nat == 0 for nat, target in zip(nats, targets, strict=True) if target == IGNORE)


def test_loss_is_the_same_for_any_split_of_the_batch() -> None:
    hidden, head, targets = numbers(8, 4), Head(numbers(7, 4, seed=1), None), torch.arange(8) % 7
    total, count = summed_cross_entropy(head, hidden, targets)
    whole = torch.autograd.grad(total / count, hidden)[0]
    parts = [summed_cross_entropy(head, hidden[part], targets[part]) for part in (slice(0, 3), slice(3, 8))]
    again = torch.autograd.grad(sum(nats for nats, _ in parts) / sum(n for _, n in parts), hidden)[0]
    torch.testing.assert_close(again, whole)


def naive_info_nce(
    q: Tensor, d: Tensor, t: float, hard: Tensor | None, same: list[int] | None, symmetric: bool
) -> float:
    total = 0.0
    for i in range(len(q)):
        ways = [(q[i], d)] + ([(d[i], q)] if symmetric else [])
        for way, (anchor, others) in enumerate(ways):
            scores = [
                torch.exp(anchor @ others[j] / t) for j in range(len(q)) if j == i or same is None or same[j] != same[i]
            ]
            if hard is not None and way == 0:
                scores += [torch.exp(anchor @ row / t) for row in hard]
            total -= torch.log(torch.exp(anchor @ others[i] / t) / sum(scores)).item()
    return total


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("same", [None, [0, 1, 0, 2, 3]])
@pytest.mark.parametrize("symmetric", [False, True])
def test_info_nce_equals_its_definition(hard: bool, same: list[int] | None, symmetric: bool) -> None:
    q, d = (F.normalize(numbers(5, 6, seed=seed), dim=-1) for seed in (0, 1))
    negatives = F.normalize(numbers(3, 6, seed=2), dim=-1) if hard else None
    total, count = info_nce(
        q, d, 0.1, hard_negatives=negatives, same=None if same is None else torch.tensor(same), symmetric=symmetric
    )
    assert total.item() == pytest.approx(naive_info_nce(q, d, 0.1, negatives, same, symmetric), abs=1e-9)
    assert count.item() == (10 if symmetric else 5)
    total.backward()


def test_a_temperature_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature is 0"):
        info_nce(numbers(2, 3), numbers(2, 3), 0)
