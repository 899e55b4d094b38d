"""The config.json of an encoder trained here. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from groundup.errors import ModelError
from groundup.nn.config import TransformerConfig

MODEL_TYPE = "groundup-encoder"


@dataclass(frozen=True)
class TrainedShape:
    transformer: TransformerConfig
    max_tokens: int
    pooling: Literal["mean", "cls"]
    prompts: dict[str, str]


def read_trained_shape(config: Mapping[str, Any], place: str) -> TrainedShape:
    """Raises ModelError if config.json lacks what `save_encoder` writes."""
    try:
        shape = TransformerConfig.from_dict(config["transformer"])
        max_tokens, pooling, prompts = int(config["max_tokens"]), config["pooling"], dict(config["prompts"])
        if pooling not in ("mean", "cls"):
            raise ValueError(f"pooling is {pooling!r}")
    except (KeyError, ValueError, TypeError) as error:
        mend = "Export the encoder again"
        raise ModelError(f"it is no encoder this version wrote ({error})", mend=mend, place=place) from error
    return TrainedShape(shape, max_tokens, pooling, prompts)
