"""The one typed configuration of a run: every choice, with its unit; what is left at None the plan fills in.

A recipe comes from flags or from a YAML file (`groundup run --recipe recipe.yaml`). Unknown keys are refused with the
nearest known one. Paths in a file are meant from that file's folder, those in flags from the current one.
"""

from __future__ import annotations

import copy
import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groundup.errors import RecipeError

Count = Annotated[int, Field(ge=1, strict=True)]  # strict: a yes is no 1
CountOrZero = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(gt=0, lt=1)]
Glob = Annotated[str, Field(pattern=r"\S")]  # over the paths that search results show; see stages/leave_out.py
PACKAGED = ("smollm2", "minilm")  # names of models that come as packages: never taken for a file beside the recipe


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CorpusChoices(Section):
    take_bytes: Count | None = None  # bytes of source files to take; whole groups, by the rule in corpus/sources.py
    held_out_share: Share = 0.02  # of the corpus' bytes, by near-duplicate cluster
    held_out_package_share: Share = 0.02  # of the corpus' bytes, by whole packages or top folders


class TokenizerChoices(Section):
    vocab_size: Annotated[int, Field(ge=300, le=65_536)] | None = None
    sample_bytes: Count = 16_000_000  # of the training split; a BPE's merges hardly change beyond a few megabytes


class DecoderChoices(Section):
    tokens: Count | None = None  # target tokens to train on
    width: Count | None = None
    layers: Count | None = None
    context_length: Count | None = None
    batch_tokens: Count | None = None
    train: bool = True


class EncoderChoices(Section):
    pairs: Count | None = None  # (query, passage) pairs seen in contrastive training
    masked_tokens: Count | None = None  # target tokens of the masked stage before it
    width: Count | None = None
    layers: Count | None = None
    train: bool = True


class EvaluationChoices(Section):
    held_out_bytes: Count | None = None  # scored by every candidate and baseline, for each column
    queries: Count = 200  # known-item queries for search, and questions for answers
    unanswerable: Count = 100
    continued: Count | None = None  # held-out documents whose beginnings every decoder continues
    written_answers: CountOrZero | None = None  # questions that decoders answer, with memory and without
    distractors: Count | None = None  # training chunks added to the held-out ones in the evaluation collection
    judgements: tuple[Path, ...] = ()  # BEIR folders


class MemoryChoices(Section):
    leave_out: tuple[Glob, ...] = ()  # documents that no decoder remembers; search finds them all the same


class SearchChoices(Section):
    leave_out: tuple[Glob, ...] = ()  # documents that search never shows; memory may hold them all the same


class Recipe(Section):
    """Every choice of a run. `identity()` is what its artifacts depend on."""

    sources: tuple[Path, ...] = ()  # empty: the Python source on this machine that groundup itself stands on
    minutes: Annotated[float, Field(gt=0, le=100_000)] = 10  # of wall clock for the whole run
    base: str | None = None  # Hugging Face folder, GGUF file, or a packaged name ("smollm2")
    encoder: str | None = None  # sentence-transformers folder, or a packaged name ("minilm")
    encoder_format: Literal["fp32", "bf16", "int8"] = "fp32"  # what encoders compute in; int8 is twice as fast
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    retrain_share: Share = 0.2  # of the corpus' bytes changed since the models' snapshot that sets off training
    corpus: CorpusChoices = CorpusChoices()
    tokenizer: TokenizerChoices = TokenizerChoices()
    decoder: DecoderChoices = DecoderChoices()
    sentence_encoder: EncoderChoices = EncoderChoices()
    memory: MemoryChoices = MemoryChoices()
    search: SearchChoices = SearchChoices()
    evaluation: EvaluationChoices = EvaluationChoices()

    def identity(self) -> dict[str, Any]:
        """The recipe as plain data, for the key of the plan and the name of the run."""
        return self.model_dump(mode="json")


def load_recipe(path: Path | None, overrides: dict[str, Any]) -> Recipe:
    """The recipe in a YAML file with flags laid over it; flags that are None say nothing.

    Raises RecipeError with file and line, what is wrong and the mend.
    """
    values: dict[str, Any] = {}
    lines: dict[tuple[str, ...], int] = {}
    if path is not None:
        values, lines = _read_yaml(path)
        _from_folder(values, path.parent)
    for dotted, value in overrides.items():
        if value is None or value == () or value == []:
            continue
        target = values
        *sections, name = trail = tuple(dotted.split("."))
        for depth, section in enumerate(sections, 1):
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise _no_section(trail[:depth], target, path, lines)
        lines.pop(trail, None)  # what a flag says is not to be looked for in the file
        target[name] = copy.deepcopy(value)  # a later flag may reach into it
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise _explain(error, path, lines) from None


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RecipeError(f"can't be read ({why})", place=str(path), mend="Name a YAML file in UTF-8.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-13-45 is a ValueError
        mend = "Mend it there." if getattr(error, "problem_mark", None) else "Mend what it names."
        raise RecipeError(f"is not YAML: {_problem(error)}", place=str(path), mend=mend) from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise RecipeError("is not a mapping of choices", place=str(path), mend="Write lines such as `minutes: 20`.")
    lines: dict[tuple[str, ...], int] = {}

    def walk(at: yaml.Node, trail: tuple[str, ...]) -> None:
        if isinstance(at, yaml.MappingNode):
            for key, value in at.value:
                lines[(*trail, str(key.value))] = key.start_mark.line + 1
                walk(value, (*trail, str(key.value)))

    if node is not None:
        walk(node, ())
    return values, lines


def _problem(error: Exception) -> str:
    """ "line 3, column 8: mapping values are not allowed here": one line, whatever the parser says in six."""
    mark = getattr(error, "problem_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error or type(error).__name__)
    line = " ".join(said.split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {line}" if mark is not None else line


def _from_folder(values: dict[str, Any], folder: Path) -> None:
    """Paths of a recipe file, in place, as seen from the folder of that file. Leaves whatever is no path to pydantic.

    base and encoder may be names: they are paths only where such a file or folder exists.
    """

    def resolved(value: object) -> object:
        if not isinstance(value, str):
            return value
        return str(folder / os.path.expanduser(value))  # leaves "~nobody" as it is, pathlib raises

    for section, name in ((values, "sources"), (values.get("evaluation"), "judgements")):
        if isinstance(section, dict) and isinstance(section.get(name), list):
            section[name] = [resolved(value) for value in section[name]]
    for name in ("base", "encoder"):
        spec = values.get(name)
        path = resolved(spec)
        if isinstance(path, str) and spec and spec not in PACKAGED and os.path.exists(path):
            values[name] = path


def _no_section(
    trail: tuple[str, ...], found: object, path: Path | None, lines: dict[tuple[str, ...], int]
) -> RecipeError:
    name = ".".join(trail)
    known = _fields_at(trail)
    return RecipeError(
        f"{name} is {found!r}: it holds choices of its own",
        place=f"{path}:{lines[trail]}" if trail in lines else name,
        mend=f"Write `{name}:` and below it, indented, lines such as `{known[0]}: …`.",
    )


def _explain(error: ValidationError, path: Path | None, lines: dict[tuple[str, ...], int]) -> RecipeError:
    first = error.errors()[0]
    trail = tuple(str(part) for part in first["loc"])
    line = next((lines[trail[:n]] for n in range(len(trail), 0, -1) if trail[:n] in lines), None)
    place = f"{path}:{line}" if path is not None and line is not None else ".".join(trail)
    name = ".".join(trail)
    if first["type"] == "extra_forbidden":
        known = _fields_at(trail[:-1])
        near = difflib.get_close_matches(trail[-1], known, n=1)
        mend = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(known)}."
        return RecipeError(f"there is no choice called `{name}`", place=place, mend=mend)
    if first["type"] in ("dataclass_type", "model_type", "model_attributes_type"):
        return _no_section(trail, first["input"], path, lines)
    said = _IN_YAML.get(first["type"], f"{first['msg'][0].lower()}{first['msg'][1:]}")
    wrong = f"{'it' if place == name else name} is {first['input']!r}: {said}"
    return RecipeError(wrong, place=place, mend=f"Change `{name}`, or leave it out for the default.")


_IN_YAML = {  # pydantic's words for what a YAML file calls otherwise
    "tuple_type": "it should be a list, such as [a, b]",
    "string_type": "it should be one word or path",
    "string_pattern_mismatch": "it says nothing",
}


def _fields_at(trail: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for part in trail:
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)
