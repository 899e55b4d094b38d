"""The model a command is told of: a folder, a GGUF file, a packaged name, a release, a model of one, the champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groundup.errors import ModelError
from groundup.interop.folders import read_json
from groundup.interop.huggingface import ENCODERS
from groundup.interop.locate import NAMED_BASES, NAMED_ENCODERS, find_base
from groundup.interop.trained_shape import MODEL_TYPE
from groundup.pipeline.store import Store
from groundup.registry import champion, release
from groundup.registry.release import Release

if TYPE_CHECKING:
    from groundup.interop.base import BroughtDecoder
    from groundup.interop.open_encoder import OpenEncoder

CHAMPION = "champion"


def find_decoder(spec: str, root: Path) -> Path:
    """Where the decoder lies that `spec` means; a release, by its id, gives the one that completes.

    Raises ModelError for what is none of these, ReleaseError without a champion.
    """
    return _find(spec, root, [*NAMED_BASES])


def load_decoder(spec: str, root: Path) -> BroughtDecoder:
    """The decoder with its tokenizer, in fp32. Raises as `find_decoder`, and ModelError for a model that is broken or
    an encoder."""
    from groundup.interop.base import load_base
    from groundup.machine import use_threads

    path = find_decoder(spec, root)
    if path.is_dir() and _is_encoder(path):
        raise _no_decoder(spec)
    use_threads()
    return load_base(path)


def load_model(spec: str, root: Path) -> BroughtDecoder | OpenEncoder:
    """A decoder, or an encoder with all it has, in fp32. Raises as `load_decoder`, and ModelError for a folder that is
    neither's."""
    from groundup.interop.base import load_base
    from groundup.interop.open_encoder import open_encoder
    from groundup.machine import use_threads

    use_threads()
    if spec in NAMED_ENCODERS:
        return open_encoder(spec)
    path = _find(spec, root, [*NAMED_BASES, *NAMED_ENCODERS])
    if path.is_dir() and _is_encoder(path):
        return open_encoder(path)
    return load_base(path)


def _find(spec: str, root: Path, names: list[str]) -> Path:
    """names: those of packaged models, for the message."""
    store = Store(root)
    if not spec.strip():  # an unset variable in quotes would else be the folder one stands in
        raise ModelError(
            "the model's name is empty", mend=f"Name champion, {', '.join(names)}, a folder or a GGUF file"
        )
    if spec == CHAMPION:
        return _completes(champion.require(store))
    if spec in release.ids(store):
        return _completes(release.open_release(store, spec))
    try:
        return find_base(spec)
    except ModelError as error:
        within = _model_of_release(spec, store)
        if within is not None:
            return within
        if spec in NAMED_BASES:  # it says how to install it
            raise
        if spec in NAMED_ENCODERS:
            raise _no_decoder(spec) from None
        mend = (
            f"Name champion, a release of {root} or a model of one, {', '.join(names)}, a model's folder or a GGUF file"
        )
        raise ModelError(error.wrong, mend=mend, place=error.place) from None


def _no_decoder(spec: str) -> ModelError:
    mend = "Name a decoder; `groundup inspect` and `groundup import` take encoders too"
    return ModelError("it is an encoder, and this command takes language models", mend=mend, place=spec)


def _is_encoder(folder: Path) -> bool:
    """Raises ModelError for a folder that isn't a model's. An architecture nobody knows is no encoder's."""
    if not (folder / "config.json").exists():
        files = sorted(path.name for path in folder.glob("*.gguf"))
        wrong = "it holds no config.json, so it is no model's folder"
        mend = f"Name the file in it, {files[0]}" if files else "Name a folder of transformers or sentence-transformers"
        raise ModelError(wrong, mend=mend, place=str(folder))
    return read_json(folder / "config.json").get("model_type") in (*ENCODERS, MODEL_TYPE)


def _model_of_release(spec: str, store: Store) -> Path | None:
    """encoder-minilm of the champion's release, 3c29d1a0b7f4/from-scratch of that one; None for anything else."""
    of, _, name = spec.rpartition("/")
    if of:
        made = release.open_release(store, of) if of in release.ids(store) else None
    else:
        made = champion.current(store)
    return model_file(made.model(name)) if made is not None and name in made.models else None


def _completes(made: Release) -> Path:
    name = made.policies["champion"]
    if name is None:
        mend = "Run `groundup run` with --base, or with a decoder to train."
        raise ModelError("it holds no language model", mend=mend, place=f"release {made.id}")
    return model_file(made.model(name))


def model_file(folder: Path) -> Path:
    """What of a release's model is loaded: its folder, or the brought GGUF file, which lies alone in it."""
    return next(folder.glob("*.gguf"), folder)
