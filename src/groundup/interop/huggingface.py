"""Families of Hugging Face models that are carried, and their configurations both ways. Loads no torch.

What isn't carried exactly is refused by name: a model that is nearly right gives figures that are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from groundup.errors import ModelError
from groundup.interop.bert import read_bert, write_bert
from groundup.interop.canonical import differences
from groundup.interop.fields import Fields
from groundup.interop.gemma3 import read_gemma3, write_gemma3
from groundup.interop.gpt2 import read_gpt2, write_gpt2
from groundup.interop.llama import read_llama, write_llama, write_mistral, write_qwen2, write_qwen3
from groundup.interop.modernbert import read_modernbert, write_modernbert
from groundup.interop.weight_maps import BERT_NAMES, GPT2_NAMES, LLAMA_NAMES, MODERNBERT_NAMES, Names, gemma3_names
from groundup.nn.config import TransformerConfig


@dataclass(frozen=True)
class Family:
    """A model_type, its configuration both ways and its weights' names.

    read: (fields, whether with the head that predicts masked tokens; decoders always have theirs) → configuration.
    write: any configuration → what the family can say of it; whether that is all is seen by reading it again.
    """

    model_type: str
    causal: bool
    read: Callable[[Fields, bool], TransformerConfig]
    write: Callable[[TransformerConfig], dict[str, Any]]
    names: Names
    with_head: str  # class in `architectures`
    bare: str


def _headed(read: Callable[[Fields], TransformerConfig]) -> Callable[[Fields, bool], TransformerConfig]:
    return lambda fields, head: read(fields)


# In the order in which a decoder's family is looked for: the first that has all of its switches
FAMILIES_BY_NAME: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family("qwen3", True, _headed(read_llama), write_qwen3, LLAMA_NAMES, "Qwen3ForCausalLM", "Qwen3Model"),
        Family("llama", True, _headed(read_llama), write_llama, LLAMA_NAMES, "LlamaForCausalLM", "LlamaModel"),
        Family("qwen2", True, _headed(read_llama), write_qwen2, LLAMA_NAMES, "Qwen2ForCausalLM", "Qwen2Model"),
        Family("mistral", True, _headed(read_llama), write_mistral, LLAMA_NAMES, "MistralForCausalLM", "MistralModel"),
        Family(
            "gemma3_text", True, _headed(read_gemma3), write_gemma3, gemma3_names(), "Gemma3ForCausalLM",
            "Gemma3TextModel",
        ),
        Family("gpt2", True, _headed(read_gpt2), write_gpt2, GPT2_NAMES, "GPT2LMHeadModel", "GPT2Model"),
        Family("bert", False, read_bert, write_bert, BERT_NAMES, "BertForMaskedLM", "BertModel"),
        Family(
            "modernbert", False, read_modernbert, write_modernbert, MODERNBERT_NAMES, "ModernBertForMaskedLM",
            "ModernBertModel",
        ),
    )
}  # fmt: skip
DECODERS = tuple(sorted(name for name, family in FAMILIES_BY_NAME.items() if family.causal))
ENCODERS = tuple(sorted(name for name, family in FAMILIES_BY_NAME.items() if not family.causal))
MASKED = ("BertForMaskedLM", "BertForPreTraining", "ModernBertForMaskedLM")  # classes with the head for masked tokens


def read_config(config: Mapping[str, Any], place: str) -> TransformerConfig:
    """TransformerConfig of a decoder's config.json. Raises ModelError for whatever isn't carried exactly."""
    family = config.get("model_type")
    if family not in DECODERS:
        mend = f"Bring one of {', '.join(DECODERS)} (SmolLM and SmolLM2 are llama)"
        if family == "gemma3":
            mend = "Bring its text model alone, whose model_type is gemma3_text"
        raise ModelError(f"its architecture {family!r} isn't known here", mend=mend, place=place)
    carried = FAMILIES_BY_NAME[family]
    classes = config.get("architectures")
    known = [carried.with_head, carried.bare]
    if isinstance(classes, list) and any(name not in known for name in classes):
        wrong = f"its class is {', '.join(map(str, classes))}"
        raise ModelError(wrong, mend=f"Bring a {carried.with_head}", place=place)
    return _read(carried, config, place, head=True)


def read_encoder_config(config: Mapping[str, Any], place: str, *, head: bool = False) -> TransformerConfig:
    """TransformerConfig of a BERT's or ModernBERT's config.json, by default without a head for masked tokens.

    Raises ModelError for whatever isn't carried exactly.
    """
    family = config.get("model_type")
    if family not in ENCODERS:
        mend = "Bring a sentence-transformers folder of BERT class (all-MiniLM, bge-*-v1.5, e5-*-v2) or ModernBERT"
        raise ModelError(f"its architecture {family!r} isn't known here", mend=mend, place=place)
    return _read(FAMILIES_BY_NAME[family], config, place, head=head)


def has_masked_head(config: Mapping[str, Any]) -> bool:
    """Whether the class that the configuration names predicts masked tokens."""
    classes = config.get("architectures")
    return isinstance(classes, list) and any(name in MASKED for name in classes)


def write_config(config: TransformerConfig) -> dict[str, Any]:
    """config.json of the first family that carries this model exactly: what it says, read again, is the same model.

    Raises ModelError naming every switch that the nearest family lacks.
    """
    kind, nearest, least = "decoder" if config.causal else "encoder", "", ["its shape"]
    for family in FAMILIES_BY_NAME.values():
        if family.causal != config.causal:
            continue
        written = write_as(config, family)
        try:
            lost = lost_in(config, family, written)
        except ModelError:  # it can't even say the shape
            continue
        if not lost:
            return written
        if not nearest or len(lost) < len(least):
            nearest, least = family.model_type, lost
    raise ModelError(
        f"no {kind} of Hugging Face known here has all switches of this model"
        + (f"; the nearest, {nearest}, lacks {', '.join(least)}" if nearest else f", nor {least[0]}"),
        mend="Train with the defaults of decoder_config" if config.causal else "Save it with save_encoder instead",
        place="export",
    )


def write_as(config: TransformerConfig, family: Family) -> dict[str, Any]:
    """What the family can say of this configuration, whether that is all or not."""
    headed = config.causal or config.head_transform
    name = family.with_head if headed else family.bare
    return {"architectures": [name], "model_type": family.model_type, **family.write(config)}


def lost_in(config: TransformerConfig, family: Family, written: Mapping[str, Any]) -> list[str]:
    """Switches of the model that its configuration, as written for the family, doesn't have.

    Raises ModelError if the family has no such shape.
    """
    return differences(config, _read(family, written, "export", head=config.causal or config.head_transform))


def refuse_quantised(config: Mapping[str, Any], place: str) -> None:
    quantisation = config.get("quantization_config")
    if quantisation:
        method = quantisation.get("quant_method", "unknown") if isinstance(quantisation, dict) else quantisation
        mend = "Bring the model in fp32, fp16 or bf16, or as a GGUF file"
        raise ModelError(f"its weights are quantised ({method})", mend=mend, place=place)


def _read(family: Family, config: Mapping[str, Any], place: str, *, head: bool) -> TransformerConfig:
    refuse_quantised(config, place)
    if config.get("auto_map"):
        mend = f"Bring a plain {family.model_type}"
        raise ModelError("it brings code of its own (auto_map), which isn't run", mend=mend, place=place)
    fields = Fields(config, place)
    try:
        shape = family.read(fields, head)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ModelError(f"its configuration doesn't fit together ({error})", mend="Check it", place=place) from error
    fields.finish()
    return shape
