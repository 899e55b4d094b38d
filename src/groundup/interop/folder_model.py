"""Weights of a Hugging Face folder → a Transformer, and back: names, orientation, and what lies together in files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from groundup.errors import ModelError
from groundup.interop.assemble import assemble
from groundup.interop.folders import read_json, weight_files
from groundup.interop.huggingface import (
    DECODERS,
    FAMILIES_BY_NAME,
    Family,
    has_masked_head,
    read_config,
    read_encoder_config,
)
from groundup.interop.weight_maps import Names, inverted, translate
from groundup.interop.weights import read_weights
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer


def read_model(folder: Path, *, bare: bool = False) -> Transformer:
    """The model of a folder as fp32, in evaluation mode. BERT and ModernBERT have their head for masked tokens if the
    class that config.json names has it.

    bare: hidden states alone are wanted, of an encoder. Raises ModelError for what is broken or not carried exactly.
    """
    given, place = read_json(folder / "config.json"), str(folder / "config.json")
    if given.get("model_type") in DECODERS and not bare:
        config = read_config(given, place)
    else:
        config = read_encoder_config(given, place, head=not bare and has_masked_head(given))
    family = FAMILIES_BY_NAME[given["model_type"]]
    found = read_weights(weight_files(folder))
    if config.layers > len(found):  # said before a model of that size is built
        wrong = f"it has {config.layers:,} layers, but its weights are {len(found):,} tensors"
        raise ModelError(wrong, mend="Take weights and configuration from one and the same model", place=place)
    weights = to_ours(found, family.names, config, bare=bare, place=str(folder))
    return assemble(config, weights, place=str(folder))


def to_ours(
    weights: Mapping[str, Tensor], names: Names, config: TransformerConfig, *, bare: bool, place: str
) -> dict[str, Tensor]:
    """Weights under our names. What needs no change is the tensor that was given, not a copy.

    Raises ModelError for weights that aren't known, and for two that should be one and differ.
    """
    theirs = {_full_name(name, names): weight for name, weight in weights.items() if not _ignored(name, names)}
    if bare:
        theirs = {name: weight for name, weight in theirs.items() if not name.startswith(names.of_heads or "\0")}
    _join_twins(theirs, names, tied=config.tie_embeddings, place=place)
    known, unknown = translate(theirs, names.table)
    if unknown:
        wrong = f"it has weights that aren't known here ({unknown[0]})"
        raise ModelError(wrong, mend="Bring a plain model of this family", place=place)
    ours: dict[str, Tensor] = {}
    for name, target in known.items():
        weight = theirs[name]
        if not weight.is_floating_point():
            mend = "Bring it in fp32, fp16 or bf16"
            raise ModelError(f"{name} rests in {str(weight.dtype).removeprefix('torch.')}", mend=mend, place=place)
        if weight.dim() == 2 and target.rpartition(".")[0].endswith(names.transposed or "\0"):
            weight = weight.t().contiguous()
        ours |= dict(_parts(target, weight, config))
    return ours


def to_theirs(model: Transformer, family: Family) -> Iterator[tuple[str, Tensor]]:
    """(their name, tensor) of every weight, in order of the parameters. Copies only what lies otherwise in files."""
    names, config = family.names, model.config
    ours = {name: parameter.detach() for name, parameter in model.named_parameters()}
    targets = set(names.table.values())
    fused = "blocks.{i}.attention.qkv" in targets
    joined = _joined(ours, fused, "blocks.{i}.ffn.gate_up" in targets, config)
    known, unknown = translate(joined, inverted(names.table))
    assert not unknown, f"a family was chosen that has no {unknown[0]}"
    bare = not config.causal and not config.head_transform
    for name, parts in joined.items():
        weight = parts[0] if len(parts) == 1 else torch.cat(parts)
        if weight.dim() == 2 and name.rpartition(".")[0].endswith(names.transposed or "\0"):
            weight = weight.t()
        theirs = known[name]
        yield theirs.removeprefix(names.prefix) if bare else theirs, weight
        if not config.tie_embeddings:  # a file without ties says everything, or transformers draws it
            yield from ((twin, weight.clone()) for twin, same in names.twins.items() if same == theirs)


def _full_name(name: str, names: Names) -> str:
    """As in a file of the model with its head, and of today."""
    for old, new in names.old_names.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    known, _ = translate([name], names.table)
    return name if known or name.startswith((names.prefix, *names.of_heads)) else names.prefix + name


def _ignored(name: str, names: Names) -> bool:
    return bool(names.ignored) and (name.startswith(names.ignored) or name.endswith(names.ignored))


def _join_twins(theirs: dict[str, Tensor], names: Names, *, tied: bool, place: str) -> None:
    """Leaves one of two tensors that must be the same."""
    for twin, original in [*names.twins.items(), *([names.tied] if tied else [])]:
        if twin not in theirs:
            continue
        weight = theirs.pop(twin)
        if original not in theirs or (not tied and twin in names.twins):  # untied, transformers reads the twin alone
            theirs[original] = weight
        elif not torch.equal(weight, theirs[original]):
            wrong = f"{twin} should be {original} once more, and differs"
            mend = "Set tie_word_embeddings to false if both are meant, or bring the model it was made from"
            raise ModelError(wrong, mend=mend, place=place)


def _parts(name: str, weight: Tensor, config: TransformerConfig) -> Iterator[tuple[str, Tensor]]:
    """A tensor of ours, or the several that lie in one: rows above rows."""
    if ".gate_up." in name:
        gate, up = weight.chunk(2) if len(weight) % 2 == 0 else (weight, weight)  # an odd one is refused by its shape
        yield from ((name.replace(".gate_up.", ".gate."), gate), (name.replace(".gate_up.", ".up."), up))
    elif ".qkv." in name and not config.fused_qkv:
        for part, piece in zip("qkv", _split(weight, config), strict=True):
            yield name.replace(".qkv.", f".{part}."), piece
    else:
        yield name, weight


def _joined(
    ours: Mapping[str, Tensor], fused: bool, gates: bool, config: TransformerConfig
) -> dict[str, tuple[Tensor, ...]]:
    """Tensors by the name they have once q, k and v (and gate and up) lie as the file has them: one, or the several
    that are put one below the other."""
    joined: dict[str, tuple[Tensor, ...]] = {}
    for name, weight in ours.items():
        stem, _, kind = name.rpartition(".")
        if stem.endswith(".attention.qkv") and not fused:
            for part, piece in zip("qkv", _split(weight, config), strict=True):
                joined[f"{stem.removesuffix('qkv')}{part}.{kind}"] = (piece,)
        elif fused and stem.endswith((".attention.q", ".attention.k", ".attention.v")):
            at = f"{stem[:-1]}qkv.{kind}"
            joined[at] = (*joined.get(at, ()), weight)
        elif gates and stem.endswith((".ffn.gate", ".ffn.up")):
            at = f"{stem.rpartition('.')[0]}.gate_up.{kind}"
            joined[at] = (*joined.get(at, ()), weight)
        else:
            joined[name] = (weight,)
    return joined


def _split(weight: Tensor, config: TransformerConfig) -> list[Tensor]:
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    return list(torch.split(weight, [queries, keys, keys]))
