"""A model that a command is told of: a folder, a GGUF file, a packaged name, a release, or the champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groundup.errors import ModelError
from groundup.interop.locate import NAMED_BASES, find_base
from groundup.pipeline.store import Store
from groundup.registry import champion, release
from groundup.registry.release import Release

if TYPE_CHECKING:
    from groundup.interop.base import BroughtDecoder

CHAMPION = "champion"


def find_decoder(spec: str, root: Path) -> Path:
    """Where the decoder lies that `spec` means; a release, by its id, gives the one that completes.

    Raises ModelError for what is none of these, ReleaseError without a champion.
    """
    store = Store(root)
    if spec == CHAMPION:
        return _completes(champion.require(store))
    if spec in release.ids(store):
        return _completes(release.open_release(store, spec))
    try:
        return find_base(spec)
    except ModelError as error:
        mend = f"Name champion, a release of {root}, {', '.join(NAMED_BASES)}, a model's folder or a GGUF file"
        raise ModelError(error.wrong, mend=mend, place=error.place) from None


def load_decoder(spec: str, root: Path) -> BroughtDecoder:
    """The decoder with its tokenizer, in fp32. Raises as `find_decoder`, and ModelError for a model that is broken."""
    from groundup.interop.base import load_base
    from groundup.machine import use_threads

    use_threads()
    return load_base(find_decoder(spec, root))


def _completes(made: Release) -> Path:
    name = made.policies["champion"]
    if name is None:
        mend = "Run `groundup run` with --base, or with a decoder to train."
        raise ModelError("it holds no language model", mend=mend, place=f"release {made.id}")
    return model_file(made.model(name))


def model_file(folder: Path) -> Path:
    """What of a release's model is loaded: its folder, or the brought GGUF file, which lies alone in it."""
    return next(folder.glob("*.gguf"), folder)
