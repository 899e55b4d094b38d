"""Rotary positions in a Hugging Face config.json, both ways: base and scaling, in the old keys and in the new ones.

Up to transformers 4 the base stands in rope_theta and a scaling in rope_scaling; from 5 on both stand in
rope_parameters, and where layers with a window have others, in one such object for each kind of layer. Loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from groundup.interop.fields import Fields
from groundup.nn.config import RopeScaling, TransformerConfig

Rope = tuple[float, RopeScaling | None]
FULL, SLIDING = "full_attention", "sliding_attention"
_ALWAYS = ("rope_type", "type", "rope_theta", "partial_rotary_factor")
_SETTINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor", "original_max_position_embeddings"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
    "yarn": (
        "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
        "mscale_all_dim", "truncate",
    ),
}  # fmt: skip


def read_rope(fields: Fields, context: int, default_theta: float = 10000.0) -> Rope:
    """(base, scaling) of a family whose layers rotate alike. context: max_position_embeddings.

    Raises ModelError for a scaling or a setting of one that isn't known, and for old and new keys that disagree.
    """
    parameters, scaling = _object(fields, "rope_parameters"), _object(fields, "rope_scaling")
    beside, partial = fields.raw("rope_theta"), fields.raw("partial_rotary_factor")
    _only_whole(fields, partial)
    theta = default_theta if beside is None else fields.as_number(beside, "rope_theta")
    # As transformers does, the old key wins; where both are given they must say the same.
    found = parse_rope(fields, scaling or parameters, "rope_scaling" if scaling else "rope_parameters", theta, context)
    if scaling and parameters:
        _agree(fields, found, parse_rope(fields, parameters, "rope_parameters", theta, context))
    if beside is not None and found[0] != theta:
        _disagree(fields, f"rope_theta is {theta} and {found[0]}")
    return found


def read_ropes(
    fields: Fields, context: int, old_keys: tuple[str, str], thetas: tuple[float, float], scaled_alike: bool
) -> tuple[Rope, Rope]:
    """((base, scaling) of layers without a window, the same of those with one).

    old_keys: where the two bases stand in old files. thetas: what they are if said nowhere. scaled_alike: whether an
    old rope_scaling is meant for both.
    """
    parameters, scaling = _object(fields, "rope_parameters"), _object(fields, "rope_scaling")
    _only_whole(fields, fields.raw("partial_rotary_factor"))
    strange = sorted(set(parameters) - {FULL, SLIDING})
    if strange:
        fields.refuse(f"rope_parameters.{strange[0]} isn't known here", f"Give one object for {FULL} and {SLIDING}")
    found = []
    for layer, key, theta in zip((FULL, SLIDING), old_keys, thetas, strict=True):
        own = parameters.get(layer) or {}
        if not isinstance(own, dict):
            fields.refuse(f"rope_parameters.{layer} is {own!r}, not an object", "Fetch config.json again")
        beside = fields.raw(key)
        theta = theta if beside is None else fields.as_number(beside, key)
        if scaling and (scaled_alike or layer == FULL):
            if any(name in own and own[name] != value for name, value in scaling.items()):
                _disagree(fields, f"rope_scaling and rope_parameters.{layer}")
            own = {**own, **scaling}
        if own.get("truncate") is False:
            # transformers looks for it outside the two objects, where it can't be: it would compute the other thing
            fields.refuse(f"rope_parameters.{layer}.truncate is false", "Bring a model that rounds, or has no YaRN")
        one = parse_rope(fields, own, f"rope_parameters.{layer}", theta, context)
        if beside is not None and one[0] != theta:
            _disagree(fields, f"{key} is {theta} and {one[0]}")
        found.append(one)
    return found[0], found[1]


def parse_rope(fields: Fields, given: Mapping[str, Any], where: str, theta: float, context: int) -> Rope:
    """(base, scaling) of one object; theta is the base if it names none."""
    kinds = [kind for kind in (given.get("rope_type"), given.get("type")) if kind is not None]
    kind = kinds[0] if kinds else "default"
    if not isinstance(kind, str) or kind not in _SETTINGS or any(other != kind for other in kinds):
        said = " and ".join(str(one) for one in kinds)
        fields.refuse(f"its rotary positions are scaled ({said})", f"Bring one of {', '.join(_SETTINGS)}")
    for name, value in given.items():
        if value is not None and name not in (*_ALWAYS, *_SETTINGS[kind]):
            fields.refuse(f"{where}.{name} isn't known here for {kind}", "Bring a model without it")
    _only_whole(fields, given.get("partial_rotary_factor"))
    base = given.get("rope_theta")
    theta = theta if base is None else fields.as_number(base, f"{where}.rope_theta")

    def setting(name: str, default: float | None = None) -> float:
        value = given.get(name)
        if value is None and default is None:
            fields.refuse(f"{where}.{name} is missing", "Fetch config.json again")
        return fields.as_number(default if value is None else value, f"{where}.{name}")

    if kind == "default":
        return theta, None
    if kind == "linear":
        return theta, RopeScaling("linear", setting("factor"))
    original = given.get("original_max_position_embeddings")
    original = context if original is None else original
    if type(original) is not int or original < 1:
        fields.refuse(f"{where}.original_max_position_embeddings is {original!r}", "Set a whole number of 1 or more")
    if kind == "dynamic":
        if original != context:
            wrong = f"{where}.original_max_position_embeddings is {original}, max_position_embeddings {context}"
            fields.refuse(wrong, "Set both to the positions trained on: versions differ in which of them they read")
        return theta, RopeScaling("dynamic", setting("factor"), original)
    if kind == "llama3":
        low, high = setting("low_freq_factor"), setting("high_freq_factor")
        return theta, RopeScaling(
            "llama3", setting("factor"), original, low_frequency_factor=low, high_frequency_factor=high
        )
    if "factor" not in given:
        fields.refuse(f"{where}.factor is missing", "Fetch config.json again")
    factor = setting("factor", context / original)  # null: as many times as the model has more positions (DeepSeek)
    whole = given.get("truncate", True)
    if not isinstance(whole, bool):
        fields.refuse(f"{where}.truncate is {whole!r}, not true or false", "Fetch config.json again")
    return theta, RopeScaling(
        "yarn",
        factor,
        original,
        beta_fast=setting("beta_fast", 32.0),
        beta_slow=setting("beta_slow", 1.0),
        attention_factor=setting("attention_factor", _yarn_attention(given, factor, setting)),
        whole_bounds=whole,
    )


def _yarn_attention(given: Mapping[str, Any], factor: float, setting: Any) -> float:
    """What transformers infers where attention_factor isn't given: the paper's, or a ratio of two (DeepSeek)."""

    def stretched(times: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * times * math.log(factor) + 1.0

    if given.get("mscale") and given.get("mscale_all_dim"):
        return stretched(setting("mscale")) / stretched(setting("mscale_all_dim"))
    return stretched(1.0)


def write_rope(config: TransformerConfig) -> dict[str, Any]:
    """Fields of a family whose layers rotate alike, for old and new readers."""
    said: dict[str, Any] = {"rope_theta": config.rope_theta}
    if config.rope_scaling is not None:
        said["rope_scaling"] = _written(config.rope_scaling)
    return {**said, "rope_parameters": one_rope(config.rope_theta, config.rope_scaling)}


def write_ropes(config: TransformerConfig) -> dict[str, Any]:
    """rope_parameters with one object for each kind of layer."""
    scaling, local = config.rope_scaling, config.local_rope_theta
    return {
        FULL: one_rope(config.rope_theta, scaling),
        SLIDING: one_rope(local, None) if local else one_rope(config.rope_theta, scaling),
    }


def one_rope(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    return {**({"rope_type": "default"} if scaling is None else _written(scaling)), "rope_theta": theta}


def local_theta(fields: Fields, full: Rope, sliding: Rope, windows: tuple[int, ...]) -> float:
    """What the core calls local_rope_theta. Raises ModelError for a scaling that only layers with a window have."""
    if not any(windows) or sliding == full:
        return 0.0
    if sliding[1] is not None:
        fields.refuse("its layers with a window have a rotary scaling of their own", "Bring a model where they don't")
    return sliding[0]


def _written(scaling: RopeScaling) -> dict[str, Any]:
    said: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn"):
        said["original_max_position_embeddings"] = scaling.original_length
    if scaling.kind == "llama3":
        said |= {"low_freq_factor": scaling.low_frequency_factor, "high_freq_factor": scaling.high_frequency_factor}
    if scaling.kind == "yarn":
        said |= {"attention_factor": scaling.attention_factor, "beta_fast": scaling.beta_fast}
        said |= {"beta_slow": scaling.beta_slow, "truncate": scaling.whole_bounds}
    return said


def _object(fields: Fields, name: str) -> dict[str, Any]:
    value = fields.raw(name) or {}
    if not isinstance(value, dict):
        fields.refuse(f"{name} is {value!r}, not an object", "Fetch config.json again")
    return value


def _only_whole(fields: Fields, share: Any) -> None:
    if share not in (None, 1, 1.0):
        fields.refuse(f"it rotates {share} of a head only", "Bring a model that rotates all")


def _agree(fields: Fields, one: Rope, other: Rope) -> None:
    if one != other:
        _disagree(fields, "rope_scaling and rope_parameters")


def _disagree(fields: Fields, what: str) -> None:
    fields.refuse(f"it says two things of its rotary positions ({what})", "Take out what isn't true")
