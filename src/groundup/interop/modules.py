"""What a sentence-transformers folder does before and after the model: how texts are cut and cased, how hidden states
are pooled, and whether vectors are normalised. Both ways; loads no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from groundup.errors import ModelError
from groundup.interop.atomic import write_json
from groundup.interop.folders import read_json, read_json_if_any

# modules.json names classes; sentence-transformers has moved them over time, the last part stayed
TRANSFORMER, POOLING, NORMALIZE = "Transformer", "Pooling", "Normalize"
MODULES, SETTINGS, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
POOLINGS: dict[str, Literal["mean", "cls"]] = {
    "mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls",
}  # fmt: skip
# Settings with what they may be here; "forward" and "last_hidden_state" are what a plain encoder gives
_PLAIN: dict[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction",),
    "module_output_name": ("token_embeddings",),
    "modality_config": ({"text": {"method": "forward", "method_output_name": "last_hidden_state"}},),
    "unpad_inputs": (True, False),  # how a batch lies in memory
}


@dataclass(frozen=True)
class SentenceModules:
    """max_tokens: where texts are cut, None if the folder leaves it to model and tokenizer. lowercase: done first.
    prompts: what is put before a text, by kind."""

    pooling: Literal["mean", "cls"]
    normalise: bool
    max_tokens: int | None = None
    lowercase: bool = False
    prompts: dict[str, str] = field(default_factory=dict)


def read_modules(folder: Path) -> SentenceModules:
    """Raises ModelError for any other module, and any setting of one that isn't carried."""
    path = folder / MODULES
    if not path.exists():
        mend = "Bring it as a sentence-transformers folder, which says how to pool"
        raise ModelError("it has no modules.json: a bare model doesn't say how it pools", mend=mend, place=str(folder))
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        places = [str(module["path"]) for module in modules]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"it can't be read ({error})", mend="Fetch the file again", place=str(path)) from error
    if kinds not in ([TRANSFORMER, POOLING], [TRANSFORMER, POOLING, NORMALIZE]) or places[0] != "":
        wrong = f"its modules are {', '.join(kinds)}"
        mend = f"Bring one of {TRANSFORMER}, {POOLING} and, if at all, {NORMALIZE}"
        raise ModelError(wrong, mend=mend, place=str(path))
    if NORMALIZE in kinds:
        _check_normalize(folder / places[2] / "config.json")
    max_tokens, lowercase = _settings(folder / SETTINGS)
    return SentenceModules(
        pooling=_pooling(read_json(folder / places[1] / "config.json"), str(folder / places[1])),
        normalise=NORMALIZE in kinds,
        max_tokens=max_tokens,
        lowercase=lowercase,
        prompts=_prompts(folder / PROMPTS),
    )


def write_modules(folder: Path, modules: SentenceModules, width: int) -> None:
    """Writes the same into a folder beside config.json, under names that versions 2 to 6 know. max_tokens is set."""
    kinds = [(TRANSFORMER, ""), (POOLING, f"1_{POOLING}"), *([(NORMALIZE, f"2_{NORMALIZE}")] * modules.normalise)]
    listed = [
        {"idx": number, "name": str(number), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, place) in enumerate(kinds)
    ]
    for _, place in kinds[1:]:
        (folder / place).mkdir()
    (folder / MODULES).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    pooling = {f"pooling_mode_{mode}": False for mode in ("cls_token", "mean_tokens", "max_tokens")}
    pooling["pooling_mode_cls_token" if modules.pooling == "cls" else "pooling_mode_mean_tokens"] = True
    write_json(folder / kinds[1][1] / "config.json", {"word_embedding_dimension": width, **pooling})
    write_json(folder / SETTINGS, {"max_seq_length": modules.max_tokens, "do_lower_case": modules.lowercase})
    write_json(folder / PROMPTS, {"prompts": modules.prompts, "default_prompt_name": None})


def _settings(path: Path) -> tuple[int | None, bool]:
    """(max_seq_length, do_lower_case)."""
    settings = read_json_if_any(path)
    longest, lowercase = settings.pop("max_seq_length", None), settings.pop("do_lower_case", None) or False
    if longest is not None and (type(longest) is not int or longest < 1):
        wrong = f"max_seq_length is {longest!r}, not a whole number"
        raise ModelError(wrong, mend="Fetch the file again", place=str(path))
    if not isinstance(lowercase, bool):
        wrong = f"do_lower_case is {lowercase!r}, not true or false"
        raise ModelError(wrong, mend="Fetch the file again", place=str(path))
    _refuse_others(settings, _PLAIN, path)
    return longest, lowercase


def _check_normalize(path: Path) -> None:
    of_text = ("sentence_embedding",)
    _refuse_others(read_json_if_any(path), {"module_input_name": of_text, "module_output_name": of_text}, path)


def _refuse_others(settings: dict[str, Any], plain: dict[str, tuple[Any, ...]], path: Path) -> None:
    for name, value in settings.items():
        if value in (None, False, "", [], {}) or value in plain.get(name, ()):
            continue
        wrong = f"{name} is {str(value)[:80]!r}, which isn't carried here"
        raise ModelError(wrong, mend="Bring a plain text encoder", place=str(path))


def _pooling(config: dict[str, Any], place: str) -> Literal["mean", "cls"]:
    """The one way to pool: named up to version 5 by flags, then in pooling_mode, which wins."""
    modes = config.get("pooling_mode")
    if modes is None:
        begins = "pooling_mode_"
        modes = [name.removeprefix(begins) for name, on in config.items() if name.startswith(begins) and on]
    modes = [str(mode) for mode in modes] if isinstance(modes, list) else [str(modes)]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        wrong = f"it pools by {', '.join(modes) or 'nothing'}"
        raise ModelError(wrong, mend="Bring one that takes the mean of all tokens or the first", place=place)
    if config.get("include_prompt") is False:
        wrong = "it leaves the prompt's tokens out of the mean (include_prompt)"
        raise ModelError(wrong, mend="Bring one that pools them too", place=place)
    return POOLINGS[modes[0]]


def _prompts(path: Path) -> dict[str, str]:
    """Prompts by kind. sentence-transformers calls a document's "document" or "passage" or "corpus"."""
    config = read_json_if_any(path)
    kind = config.get("model_type")
    if kind not in (None, "SentenceTransformer"):
        wrong = f"it is a {kind}, not a SentenceTransformer"
        raise ModelError(wrong, mend="Bring one that makes one vector of a text", place=str(path))
    prompts, named = config.get("prompts") or {}, config.get("default_prompt_name") or ""
    if not isinstance(prompts, dict) or not isinstance(named, str):
        wrong = f"prompts is {str(prompts)[:80]!r}, default_prompt_name {named!r}"
        raise ModelError(wrong, mend="Fetch the file again", place=str(path))
    default = prompts.get(named, "")
    found = {"query": prompts.get("query", default)}
    found["document"] = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), default)
    return {kind: str(prompt) for kind, prompt in found.items() if prompt}
