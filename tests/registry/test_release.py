"""release.py: a release is whole or absent, named by its contents, and never changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.errors import ReleaseError
from groundup.pipeline import Context, Pipeline, Step, Store
from groundup.pipeline.clean import clean
from groundup.registry import release
from groundup.registry.release import Release, open_release

Make = Callable[..., Release]


def test_release_holds_what_it_was_made_of(store: Store, make: Make) -> None:
    made = make()
    opened = open_release(store, made.id)
    assert opened == made
    assert opened.models == ["decoder"]
    assert (opened.model("decoder") / "model.safetensors").read_text() == "w"
    assert (opened.model("decoder") / "tokenizer" / "vocab.json").read_text() == "{}"
    assert opened.policies == {"completion": "decoder"}
    assert opened.verdicts[0]["rows"][1]["values"]["held out"]["value"] == 0.83
    assert opened.metrics == {"seconds": 1.5}
    assert (opened.model_card, opened.data_card) == ("# Models\n", "# Data\n")
    assert opened.created.endswith("+00:00")
    assert opened.verify() == []
    assert not (store.work / "release.draft").exists()


def test_id_is_of_what_a_release_does_and_not_of_timings(store: Store, make: Make) -> None:
    first = make()
    assert make() == first
    assert make(metrics={"seconds": 2.5}, model_card="made in 2.5 s", data_card="x") == first
    others = [make("v"), make(policies={}), make(verdicts=[]), make(models={}), make(measured_on="split-2")]
    assert len({first.id, *(other.id for other in others)}) == 6
    assert release.ids(store) == [first.id, *(other.id for other in others)]


def test_models_are_linked_where_they_can_be_and_copied_where_not(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (make().model("decoder") / "model.safetensors").stat().st_nlink == 2

    def refused(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", refused)
    copied = make("other")
    assert (copied.model("decoder") / "model.safetensors").stat().st_nlink == 1
    assert copied.verify() == []


def test_what_is_missing_is_named_with_what_there_is(store: Store, make: Make) -> None:
    with pytest.raises(ReleaseError, match="none yet; `groundup run` makes one"):
        open_release(store, "abc")
    made = make()
    with pytest.raises(ReleaseError, match=r"has no model encoder\. Its models: decoder"):
        made.model("encoder")
    with pytest.raises(ReleaseError, match=f"zzz is no release here. Releases: {made.id}"):
        open_release(store, "zzz")
    assert open_release(store, made.id[:4]) == made


def test_fault_says_what_keeps_a_release_from_use(store: Store, make: Make) -> None:
    made = make()
    assert release.fault(store, made.id) == ""
    (made.path / "metrics.json").unlink()
    assert release.fault(store, made.id) == "its release: metrics.json is missing or has another size"
    assert release.fault(store, "abc") == "its release: abc is no release here"


def test_damaged_release_is_made_again(store: Store, make: Make) -> None:
    made = make()
    (made.path / "metrics.json").unlink()
    assert make().verify() == []


def test_damage_is_found(store: Store, make: Make) -> None:
    made = make()
    weights = made.model("decoder") / "model.safetensors"
    weights.write_text("v")
    assert [text.rpartition(" ")[0].rpartition("/")[2] for text in made.verify()] == [
        "model.safetensors is not what was"
    ]
    weights.write_text("longer")
    with pytest.raises(ReleaseError, match=r"model\.safetensors is missing or has another size"):
        open_release(store, made.id)
    (made.path / "manifest.json").write_text("{")
    with pytest.raises(ReleaseError, match="its manifest can't be read"):
        open_release(store, made.id)


def test_crash_before_the_rename_leaves_no_release(store: Store, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise SystemError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        with pytest.raises(SystemError):
            make()
    assert release.ids(store) == []
    assert make().verify() == []


def test_release_of_an_artifact_keeps_it_from_being_cleaned(store: Store, make: Make) -> None:
    def train(context: Context) -> None:
        (context.work / "model.safetensors").write_text(str(context.config["n"]))

    old = Pipeline(store, [Step("train", train, {"n": 1})]).run().artifacts["train"]
    made = make(models={"decoder": old.path}, artifacts=[old])
    assert sorted(path.name for path in made.model("decoder").iterdir()) == ["model.safetensors"]
    Pipeline(store, [Step("train", train, {"n": 2})]).run()
    assert clean(store) == []
    assert store.verify(old) == []


def test_model_name_that_leaves_the_folder_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no name for a model folder"):
        make(models={"../decoder": tmp_path / "model"})
