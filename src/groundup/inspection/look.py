"""A text through a model with eyes open: attention, norms, what each layer would predict, and where gradients go."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import ModelError, RequestError
from groundup.inspection.gradients import GradientSum
from groundup.inspection.pooled import compare, take_apart
from groundup.inspection.reading import Reading, Tokenizes, labels_of, read_text
from groundup.inspection.record import Asks, Float, Inspection, Lens, Norms, Predictions
from groundup.nn.attend import Probe
from groundup.nn.encode import Pooling
from groundup.nn.transformer import Transformer

MOST_TOKENS = 256
MOST_WEIGHTS = 2**25  # attention weights on a page, L · H · T²: about 10 MB of it
TOP = 10  # tokens named beside the true one
LENS_TOP = 5
MASKED_TOKENS = 1024  # tokens in a pass where each row hides one


def inspect_model(
    model: Transformer,
    tokenizer: Tokenizes | tokenizers.Tokenizer,
    text: str,
    *,
    name: str,
    pooling: Pooling | None = None,
    beside: str | None = None,
    limit: int | None = None,
) -> Inspection:
    """Everything `Inspection` holds, for a decoder, or an encoder with or without a head for masked tokens.

    tokenizer: ours, or a brought encoder's own, which cuts nothing. pooling: how an encoder makes one vector of the
    text, if it does. beside: a second text, whose vector is compared. limit: tokens that the encoder reads at most.
    The model is left as it was, gradients included. Memory: the weights once more, for their gradients. Raises
    RequestError for a text without tokens or with more than can be shown, ModelError if the tokenizer isn't the
    model's.
    """
    assert beside is None or pooling is not None, "vectors are compared, and this model makes none"
    text, beside = _whole(text), None if beside is None else _whole(beside)
    reading = read_text(tokenizer, text, causal=model.config.causal)
    _check(model, reading, "text", limit)
    other = None if beside is None else read_text(tokenizer, beside, causal=model.config.causal)
    if other is not None:
        _check(model, other, "with", limit)
    asks = _asks(model, reading)
    tokens = torch.tensor([reading.ids], device=model.embedding.weight.device)
    pooled = compared = None
    with _at_rest(model):
        attention, norms, hidden = _look(model, tokens)
        if pooling is not None:
            pooled = take_apart(hidden, pooling)
        if pooling is not None and beside is not None and other is not None:
            with torch.no_grad():
                second = model(torch.tensor([other.ids], device=tokens.device))[0]
            compared = compare(hidden, second, beside, other, pooling)
        answers = [place for place, special in enumerate(reading.special) if not special]
        if asks == "next":
            answers = list(range(1, len(reading.ids)))
        answered = _ask(model, _questions(tokens, answers, asks, reading.mask_id)) if asks else None
    named = [*reading.ids, *(other.ids if other is not None else [])]
    if answered is not None:
        named += [*answered.predictions.top_ids.ravel().tolist(), *answered.lens.top_ids.ravel().tolist()]
    return Inspection(
        name=name,
        text=text,
        causal=model.config.causal,
        parameters=model.config.parameters(),
        tokens=reading.ids,
        special=reading.special,
        labels=labels_of(reading, named),
        missing_bytes=reading.missing_bytes,
        attention=attention,
        norms=norms,
        asks=asks,
        answers=answers if asks else [],
        predictions=answered.predictions if answered else None,
        lens=answered.lens if answered else None,
        gradients=answered.gradients.read() if answered else None,
        pooled=pooled,
        compared=compared,
    )


def _whole(text: str) -> str:
    """Half a surrogate pair, as a shell hands bytes over that aren't UTF-8, can't be written: it is read as "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")


def most_tokens(model: Transformer) -> int:
    """How long a text can be inspected, the separator included."""
    config = model.config
    return min(MOST_TOKENS, math.isqrt(MOST_WEIGHTS // (config.layers * config.heads)), config.context_length)


def _check(model: Transformer, reading: Reading, param: str, limit: int | None) -> None:
    if reading.vocab_size > model.config.vocab_size:
        wrong = f"the tokenizer has {reading.vocab_size:,} tokens, the model {model.config.vocab_size:,}"
        raise ModelError(wrong, mend="Take the tokenizer that belongs to the model")
    if all(reading.special):
        raise RequestError("the text has no tokens", mend="Give a sentence or two", param=param)
    most = most_tokens(model)
    read = limit is not None and limit < most
    most = limit if read and limit is not None else most
    if len(reading.ids) > most:
        shown = f"this model reads {most} at most" if read else f"a page shows {most} of this model"
        wrong = f"the text has {len(reading.ids):,} tokens, and {shown}"
        raise RequestError(wrong, mend=f"Cut it to {most} tokens, about {3 * most} characters", param=param)


def _asks(model: Transformer, reading: Reading) -> Asks | None:
    config = model.config
    if config.causal:
        return "next" if len(reading.ids) > 1 else None
    has_head = config.head_transform or config.head_bias or not config.tie_embeddings
    return "masked" if has_head and reading.mask_id is not None else None


@contextmanager
def _at_rest(model: nn.Module) -> Iterator[None]:
    """Without dropout, every weight able to have a gradient; as it was afterwards."""
    training, wanted = model.training, [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        model.eval()
        with torch.enable_grad():
            for weight, _ in wanted:
                weight.requires_grad_(True)
            yield
    finally:
        model.train(training)
        for weight, want in wanted:
            weight.requires_grad_(want)


@torch.no_grad()
def _look(model: Transformer, tokens: Tensor) -> tuple[np.ndarray, Norms, Tensor]:
    """Attention (L, H, T, T), norms and hidden states (T, C), for tokens (1, T)."""
    patterns: list[np.ndarray] = []
    streams: list[Tensor] = []
    added: dict[str, list[Float]] = {"attention": [], "ffn": []}

    def probe(name: str, value: Tensor) -> Tensor:
        if name.endswith(".pattern"):
            patterns.append(value[0].float().cpu().numpy())
        return value

    hooks = []
    for block in model.blocks:
        for part in ("attention", "ffn"):
            writer = getattr(block, f"{part}_post_norm") or getattr(block, part)

            def note(_: nn.Module, __: object, result: Tensor, part: str = part) -> None:
                added[part].append(_lengths(result * model.config.residual_scale)[0])

            hooks.append(writer.register_forward_hook(note))
    try:
        hidden = model(tokens, probe=_both(probe, _streams(streams)))
    finally:
        for hook in hooks:
            hook.remove()
    norms = Norms(np.stack([_lengths(x)[0] for x in streams]), np.stack(added["attention"]), np.stack(added["ffn"]))
    return np.stack(patterns), norms, hidden[0]


def _streams(kept: list[Tensor]) -> Probe:
    def probe(name: str, value: Tensor) -> Tensor:
        if name == "embedding" or name.endswith(".stream"):
            kept.append(value)
        return value

    return probe


def _both(first: Probe, second: Probe) -> Probe:
    return lambda name, value: second(name, first(name, value))


def _lengths(x: Tensor) -> Float:
    """‖·‖₂ over the last axis."""
    lengths: Float = x.detach().double().norm(dim=-1).cpu().numpy()
    return lengths


@dataclass(frozen=True)
class _Question:
    """Rows to compute, and where in them which tokens should be predicted."""

    tokens: Tensor  # (R, T)
    rows: Tensor  # (A,)
    places: Tensor  # (A,)
    targets: Tensor  # (A,)


def _questions(tokens: Tensor, answers: list[int], asks: Asks, mask_id: int | None) -> list[_Question]:
    """One row for all next tokens; for masked ones a row each, which hides that token alone (Salazar et al. 2020)."""
    device = tokens.device
    at = torch.tensor(answers, device=device)
    if asks == "next":
        return [_Question(tokens, torch.zeros_like(at), at - 1, tokens[0, at])]
    assert mask_id is not None
    questions = []
    for places in torch.split(at, max(1, MASKED_TOKENS // tokens.shape[1])):
        rows = torch.arange(len(places), device=device)
        hidden = tokens.repeat(len(places), 1)
        hidden[rows, places] = mask_id
        questions.append(_Question(hidden, rows, places, tokens[0, places]))
    return questions


@dataclass(frozen=True)
class _Answered:
    predictions: Predictions
    lens: Lens
    gradients: GradientSum


def _ask(model: Transformer, questions: list[_Question]) -> _Answered:
    count = sum(len(question.targets) for question in questions)
    gradients = GradientSum(model)
    own: list[_Spread] = []
    through: list[list[_Spread]] = []
    for question in questions:
        streams: list[Tensor] = []
        hidden = model(question.tokens, probe=_streams(streams))
        where = question.rows, question.places
        logits = model.logits(hidden[where])  # (A, V)
        gradients.add(F.cross_entropy(logits, question.targets, reduction="sum") / count, streams)
        own.append(_spread(logits.detach(), question.targets, TOP))
        norm = model.final_norm or nn.Identity()
        with torch.no_grad():
            through.append([
                _spread(model.logits(norm(stream.detach()[where])), question.targets, LENS_TOP) for stream in streams
            ])  # fmt: skip
    whole = _joined(own)
    layers = [_joined(list(parts)) for parts in zip(*through, strict=True)]
    return _Answered(
        Predictions(-whole.truth, whole.rank, whole.top_ids, whole.top),
        Lens(*(np.stack([getattr(layer, part) for layer in layers]) for part in ("top_ids", "top", "truth"))),
        gradients,
    )


@dataclass(frozen=True)
class _Spread:
    """A distribution over the vocabulary, in short: the likeliest tokens, and log2 p and rank of the true one."""

    top_ids: np.ndarray
    top: np.ndarray
    truth: np.ndarray
    rank: np.ndarray


def _spread(logits: Tensor, targets: Tensor, most: int) -> _Spread:
    log_p = torch.log_softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))  # (A, V)
    top, ids = log_p.topk(min(most, log_p.shape[1]))
    truth = log_p.gather(1, targets[:, None])
    rank = (log_p > truth).sum(1) + 1
    return _Spread(
        ids.cpu().numpy(), top.exp().double().cpu().numpy(), (truth[:, 0].double() / math.log(2)).cpu().numpy(),
        rank.cpu().numpy(),
    )  # fmt: skip


def _joined(parts: list[_Spread]) -> _Spread:
    return _Spread(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Spread.__dataclass_fields__))
