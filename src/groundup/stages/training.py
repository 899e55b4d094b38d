"""What the two trained models' steps have in common: the shape with the tokenizer's vocabulary, the disk they take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groundup.nn.config import TransformerConfig
from groundup.pipeline.steps import Context

if TYPE_CHECKING:
    from groundup.tokens.tokenizer import Tokenizer

_BYTES_PER_PARAMETER = 40  # fp32: weights and two moments in a checkpoint, twice while one replaces another; the export
_OTHER_BYTES = 16 << 20  # tokenizer, curves


def disk_bytes(config: dict[str, Any]) -> int:
    """What training this shape writes at most. config: nn.TransformerConfig as data."""
    return _BYTES_PER_PARAMETER * TransformerConfig.from_dict(config).parameters() + _OTHER_BYTES


def set_up(context: Context) -> tuple[Tokenizer, TransformerConfig]:
    """Threads as this machine wants them; the step's tokenizer, and its shape, whose vocabulary is the tokenizer's."""
    from groundup.machine import use_threads
    from groundup.tokens.tokenizer import Tokenizer

    use_threads()
    tokenizer = Tokenizer.load(context.inputs["tokenizer"].path)
    return tokenizer, replace(TransformerConfig.from_dict(context.config["config"]), vocab_size=tokenizer.vocab_size)
