"""recipe.py: what a file and flags say together, and where a mistake in them is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import GroundupError, ModelError, RecipeError
from groundup.interop.locate import NAMED_BASES, NAMED_ENCODERS
from groundup.recipe import PACKAGED, Recipe, load_recipe


def written(folder: Path, text: str) -> Path:
    (folder / "recipe.yaml").write_text(text)
    return folder / "recipe.yaml"


def test_flags_lie_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "minutes: 5\nevaluation:\n  queries: 7\n")
    recipe = load_recipe(path, {"minutes": 3.0, "evaluation.unanswerable": 4, "seed": None})
    assert (recipe.minutes, recipe.evaluation.queries, recipe.evaluation.unanswerable, recipe.seed) == (3, 7, 4, 0)


@pytest.mark.parametrize("value", ["3", "", "[1]", "a"])
@pytest.mark.parametrize("flags", [{}, {"evaluation.judgements": (Path("x"),)}])
def test_section_that_is_none_is_named_with_its_line(tmp_path: Path, value: str, flags: dict[str, Any]) -> None:
    path = written(tmp_path, f"minutes: 5\nevaluation: {value}\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml:2: evaluation") as caught:
        load_recipe(path, flags)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("minutes: 5\nseed: 1: 2\n", "line 2, column 8: mapping values are not allowed here"),
        ("sources: [a, b\nminutes: 5\n", "line 2, column 8: "),
        ("minutes: 2026-13-45\n", "month must be in 1..12"),
        ("minutes: \x07\n", "special characters are not allowed"),
        ("a: &x [*y]\n", "line 1, column 8: found undefined alias"),
    ],
)
def test_broken_yaml_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path, text), {})
    assert caught.value.wrong.startswith(f"is not YAML: {said}")
    assert "\n" not in str(caught.value)
    assert "unicode string" not in str(caught.value)


def test_paths_of_a_file_are_seen_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "deep"
    (home / "model").mkdir(parents=True)
    (home / "smollm2").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    text = (
        "sources: [notes, /absolute, ~nobody-of-this-name]\nbase: model\nencoder: elsewhere\n"
        "evaluation:\n  judgements: [beir/one]\n"
    )
    recipe = load_recipe(written(home, text), {})
    assert recipe.sources == (home / "notes", Path("/absolute"), home / "~nobody-of-this-name")
    assert (recipe.base, recipe.encoder) == (str(home / "model"), "elsewhere")
    assert recipe.evaluation.judgements == (home / "beir/one",)
    assert load_recipe(written(home, "base: smollm2\nencoder: minilm\n"), {}).base == "smollm2"
    flags = load_recipe(written(home, "sources: [notes]\n"), {"sources": (Path("mine"),), "base": "model"})
    assert (flags.sources, flags.base) == ((Path("mine"),), "model")
    monkeypatch.chdir(home)
    assert load_recipe(Path("recipe.yaml"), {}).sources == (Path("notes"),)
    assert os.fspath(recipe.sources[0])


def test_packaged_names_are_those_that_are_found() -> None:
    assert set(PACKAGED) == {*NAMED_BASES, *NAMED_ENCODERS}


def test_a_choice_nothing_reads_is_refused(tmp_path: Path) -> None:
    assert "index" not in Recipe.model_fields
    with pytest.raises(RecipeError, match=r"recipe\.yaml:1: there is no choice called `index`"):
        load_recipe(written(tmp_path, "index:\n  embed_chunks: 3\n"), {})


def test_wrong_element_is_named_with_the_line_of_its_list(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:2: sources\.0 is 3"):
        load_recipe(written(tmp_path, "minutes: 5\nsources: [3]\n"), {})
    with pytest.raises(RecipeError, match=r"^minutes: it is -1"):  # the flag is wrong, not the file's line
        load_recipe(written(tmp_path, "minutes: 5\n"), {"minutes": -1})


@pytest.mark.parametrize("mend", ["Fetch it again", "Fetch it again.", "Fetch it again.. "])
def test_every_error_ends_with_one_full_stop(mend: str) -> None:
    error = ModelError("it is broken.", mend=mend, place="m.gguf")
    assert (error.wrong, error.mend) == ("it is broken", "Fetch it again.")
    assert str(error) == "m.gguf: it is broken. Fetch it again."
    assert GroundupError("no `a`", mend="Did you mean `b`?").mend == "Did you mean `b`?"
    assert str(GroundupError("no `a`", mend="")) == "no `a`."


@pytest.mark.parametrize("section", ["memory", "search"])
def test_what_is_left_out_is_a_list_of_patterns(tmp_path: Path, section: str) -> None:
    path = written(tmp_path, f"{section}:\n  leave_out: [notes/private, '**/*.key']\n")
    recipe = load_recipe(path, {})
    assert getattr(recipe, section).leave_out == ("notes/private", "**/*.key")  # patterns are no paths of the folder
    assert Recipe().memory.leave_out == Recipe().search.leave_out == ()


@pytest.mark.parametrize("section", ["memory", "search"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("leave_out: notes", "SECTION.leave_out is 'notes': it should be a list, such as [a, b]"),
        ("leave_out: [a, '']", "SECTION.leave_out.1 is '': it says nothing"),
        ("leave_out: [' ']", "SECTION.leave_out.0 is ' ': it says nothing"),
        ("leave_out: [3]", "SECTION.leave_out.0 is 3: it should be one word or path"),
        ("leave_out: {a: b}", "SECTION.leave_out is {'a': 'b'}: it should be a list"),
        ("leave_out:", "SECTION.leave_out is None: it should be a list"),
        ("leaveout: [a]", "there is no choice called `SECTION.leaveout`. Did you mean `leave_out`?"),
    ],
)
def test_patterns_that_are_none_are_named_with_their_line_and_the_mend(
    tmp_path: Path, section: str, value: str, said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path, f"minutes: 5\n{section}:\n  {value}\n"), {})
    assert str(caught.value).startswith(f"{tmp_path / 'recipe.yaml'}:3: {said.replace('SECTION', section)}")
    assert caught.value.mend


@pytest.mark.parametrize(
    ("value", "said"),
    [("yes", "is True: input should be a valid integer"), ("-1", "greater than or equal to 0"), ("2.0", "integer")],
)
def test_a_number_of_questions_is_a_whole_one_and_may_be_none(tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:1: evaluation\.written_answers .*" + said):
        load_recipe(written(tmp_path, f"evaluation: {{written_answers: {value}}}\n"), {})
    assert load_recipe(written(tmp_path, "evaluation: {written_answers: 0}\n"), {}).evaluation.written_answers == 0
