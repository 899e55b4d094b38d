"""A Hugging Face config.json read field by field, until none is left that could change what the model computes.

Loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

from groundup.errors import ModelError
from groundup.nn.config import Activation

# Fields of any family that say nothing about what comes out of the model: bookkeeping, generation, training
INERT = frozenset(
    (
        "model_type", "architectures", "transformers_version", "dtype", "torch_dtype", "name_or_path",
        "_name_or_path", "_commit_hash", "_attn_implementation", "_attn_implementation_autoset",
        "attn_implementation", "cache_implementation", "use_cache", "output_hidden_states", "output_attentions",
        "return_dict", "chunk_size_feed_forward", "torchscript", "use_bfloat16", "tie_last_hidden_states",
        "id2label", "label2id", "num_labels", "problem_type", "task_specific_params", "finetuning_task",
        "initializer_range", "initializer_factor", "gradient_checkpointing", "tf_legacy_loss", "pretraining_tp",
        "tokenizer_class", "prefix", "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id",
        "mask_token_id", "unk_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id",
        "max_length", "max_new_tokens", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
        "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty",
        "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
        "output_scores", "return_dict_in_generate", "remove_invalid_values", "suppress_tokens",
        "begin_suppress_tokens", "exponential_decay_length_penalty", "model_max_length", "is_llama_config",
        "transformers.js_config", "unsloth_version", "unsloth_fixed",
    )
)  # fmt: skip
DROPOUTS = ("dropout", "_pdrop", "dropout_prob")  # ends of names; they act in training only

ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_python": "gelu", "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh", "gelu_python_tanh": "gelu_tanh", "relu": "relu", "relu2": "relu2", "sigmoid": "sigmoid",
    "tanh": "tanh", "linear": "identity",
}  # fmt: skip
THEIR_ACTIVATIONS: dict[Activation, str] = {
    "silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu", "relu2": "relu2",
    "sigmoid": "sigmoid", "tanh": "tanh", "identity": "linear",
}  # fmt: skip


class Fields:
    """Takes fields of a configuration, each once; `finish` refuses what nobody took.

    A field that is absent has transformers' default, which is given where it is taken. Raises ModelError for values of
    the wrong kind, naming field and file.
    """

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self._left, self.place = dict(values), place
        self.family = str(values.get("model_type"))

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def raw(self, name: str, default: Any = None) -> Any:
        return self._left.pop(name, default)

    def whole(self, name: str, default: int | None = None, least: int = 1) -> int:
        value = self._left.pop(name, default)
        if value is None and default is None:
            self.refuse(f"{name} is missing", "Fetch config.json again")
        value = default if value is None else value
        if type(value) is not int or value < least:
            self.refuse(f"{name} is {value!r}, not a whole number of {least} or more", "Fetch config.json again")
        return value

    def number(self, name: str, default: float) -> float:
        value = self._left.pop(name, default)
        return self.as_number(default if value is None else value, name)

    def as_number(self, value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.refuse(f"{name} is {value!r}, not a number", "Fetch config.json again")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._left.pop(name, default)
        value = default if value is None else value
        if not isinstance(value, bool):
            self.refuse(f"{name} is {value!r}, not true or false", "Fetch config.json again")
        return value

    def activation(self, name: str, default: str) -> Activation:
        value = self._left.pop(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            self.refuse(f"its {name} {value!r} isn't known here", f"Bring one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]

    def only(self, name: str, *values: Any) -> None:
        """Refuses a field that has any other value than these, or none."""
        value = self._left.pop(name, None)
        if value is not None and value not in values:
            self.refuse(f"{name} is {value!r}, which isn't carried here", f"Bring a plain {self.family}")

    def unused(self, *names: str) -> None:
        """Fields that this family's model doesn't read, or reads for what isn't computed here."""
        for name in names:
            self._left.pop(name, None)

    def head_dim(self, width: int, heads: int) -> int:
        """Of families whose heads share the width evenly."""
        if width % heads:
            self.refuse(f"its width {width} is no multiple of its {heads} heads", "Fetch config.json again")
        return width // heads

    def refuse(self, wrong: str, mend: str) -> NoReturn:
        raise ModelError(wrong, mend=mend, place=self.place)

    def finish(self) -> None:
        """Raises ModelError for a field nobody knows, unless it is switched off: false, null or empty."""
        for name, value in self._left.items():
            off = value is None or value is False or value in ("", [], {})
            if off or name in INERT or name.endswith(DROPOUTS):
                continue
            mend = f"Bring a plain {self.family}, or take {name} out of the file if it changes nothing"
            self.refuse(f"{name} is {str(value)[:60]!r}, a field of {self.family} that isn't known here", mend)
