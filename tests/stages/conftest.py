"""One small corpus and one finished run that the tests of the stages share."""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from groundup.pipeline.store import Store
from groundup.progress import open_sink
from groundup.recipe import Recipe, load_recipe
from groundup.stages.outcome import Outcome
from groundup.stages.run import run_pipeline
from tests.stages.longer import Made, with_longer_decoder

PACKAGES = ("json", "logging", "email", "http", "importlib", "unittest", "concurrent", "urllib")
SMALL = {
    "minutes": 0.4,
    "encoder_format": "int8",
    "tokenizer": {"vocab_size": 700, "sample_bytes": 400_000},
    "decoder": {"tokens": 16_384, "width": 64, "layers": 2, "context_length": 64, "batch_tokens": 1_024},
    "sentence_encoder": {"pairs": 64, "masked_tokens": 8_192, "width": 64, "layers": 2},
    "evaluation": {"held_out_bytes": 6_000, "queries": 20, "unanswerable": 10, "continued": 16, "distractors": 50},
}


def small_recipe(folder: Path, **changes: object) -> Recipe:
    """A recipe whose every size is set: the plan has nothing left to measure, so runs are equal on any machine."""
    return load_recipe(None, {"sources": (folder,), **SMALL, **changes})


def copy_corpus(folder: Path) -> Path:
    """Some packages of the standard library: real files, about 1 MB."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for package in PACKAGES:
        shutil.copytree(stdlib / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "test*"))
    (folder / "notes").mkdir()
    (folder / "notes" / "garden.md").write_text(
        "# Garden notes\n\n## When to plant the broad beans\n\nIn the second week of November, before the ground "
        "freezes, three fingers deep and a hand apart.\n\n## Watering in a dry summer\n\nEvery third evening, at the "
        "roots, never on the leaves. Write to anna.gardener@posteo.de about the barrel.\n",
        encoding="utf-8",
    )
    return folder


@dataclass(frozen=True)
class Finished:
    recipe: Recipe
    sources: Path
    store: Path
    outcome: Outcome


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A whole run. Tests only read it."""
    sources = copy_corpus(tmp_path_factory.mktemp("sources"))
    store = tmp_path_factory.mktemp("store") / "store"
    recipe = small_recipe(sources)
    with open_sink("silent") as sink:
        outcome = run_pipeline(recipe, store, sink)
    if outcome.failure is not None:
        raise outcome.failure
    return Finished(recipe, sources, store, outcome)


@pytest.fixture(scope="module")
def made(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The run's artifacts, with a decoder of a longer context in place of its own, scored and mixed anew."""
    return with_longer_decoder(Store(finished.store), tmp_path_factory.mktemp)
