"""Models for other programs: as a folder of transformers or as a GGUF file; and a folder of theirs, looked at."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from groundup.errors import ModelError
from groundup.stages.models import load_decoder, load_model

if TYPE_CHECKING:
    from groundup.interop.base import BroughtDecoder

Target = Literal["hf", "gguf"]
FORMATS = {"hf": ("f32", "f16", "bf16"), "gguf": ("f32", "f16", "bf16", "q8_0")}


@dataclass(frozen=True)
class Exported:
    path: Path
    format: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


def export_model(
    spec: str, root: Path, out: Path, target: Target, number_format: str | None, *, drop_normalizer: bool = False
) -> Exported:
    """Writes the decoder that `spec` means, whole or not at all. Raises ModelError for what the target can't carry
    exactly, for a number format it doesn't have, and where something is already; and as `load_decoder`.

    number_format: what weights rest in; None is f32 in a folder, f16 in a GGUF file.
    """
    chosen = (number_format or ("f32" if target == "hf" else "f16")).lower()
    if chosen not in FORMATS[target]:
        mend = f"Choose one of {', '.join(FORMATS[target])}"
        raise ModelError(f"{target} has no number format {chosen!r} here", mend=mend)
    if out.exists():
        raise ModelError("there is something already", mend="Name a place that is free", place=str(out))
    decoder = load_decoder(spec, root)
    if target == "hf":
        _to_folder(decoder, out, chosen)
    else:
        _to_gguf(decoder, out, chosen, drop_normalizer)
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    return Exported(out, chosen, sum(path.stat().st_size for path in files))


def _to_folder(decoder: BroughtDecoder, out: Path, number_format: str) -> None:
    import torch

    from groundup.interop.export import save_decoder

    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[number_format]
    known = "" if decoder.license == "unknown" else f"---\nlicense: {decoder.license}\n---\n\n"
    readme = f"{known}# {decoder.name}\n\nWritten by `groundup export`.\n"
    template = decoder.chat_template
    try:
        save_decoder(out, decoder.model, decoder.tokenizer, dtype=dtype, chat_template=template, readme=readme)
    except OSError as error:
        wrong = f"the folder can't be written ({error.strerror})"
        raise ModelError(wrong, mend="Name a place that can be written", place=str(out)) from error


def _to_gguf(decoder: BroughtDecoder, out: Path, number_format: str, drop_normalizer: bool) -> None:
    from groundup.interop.gguf import open_gguf
    from groundup.interop.gguf_export import save_gguf
    from groundup.interop.gguf_tokenizer import special_ids

    source = Path(decoder.source)
    save_gguf(
        out,
        decoder.model,
        decoder.tokenizer,
        dtype=number_format.upper(),  # type: ignore[arg-type]  # FORMATS holds the same names
        chat_template=decoder.chat_template,
        name=decoder.name,
        license="" if decoder.license == "unknown" else decoder.license,
        special_ids=special_ids(open_gguf(source).metadata) if source.is_file() else None,
        drop_normalizer=drop_normalizer,
    )


@dataclass(frozen=True)
class Imported:
    """What a folder or file holds, once it is known that our core computes it exactly."""

    path: Path
    name: str
    kind: Literal["decoder", "encoder"]
    parameters: int
    layers: int
    width: int
    vocabulary: int
    context_length: int  # of an encoder, where it cuts texts
    does: str  # what one gets of it
    run_option: Literal["--base", "--encoder"] | None  # by which `groundup run` takes it
    license: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}

    def text(self) -> str:
        place = shlex.quote(os.path.relpath(self.path))
        following = f"run {self.run_option} {place}" if self.run_option else f'inspect {place} "…"'
        return (
            f"{self.name}: {self.kind}, {self.parameters / 1e6:,.1f} M parameters, "
            f"{self.layers} layer{'s' * (self.layers > 1)} × {self.width}, "
            f"{self.vocabulary:,} tokens, context {self.context_length:,}; {self.does}; license {self.license}\n"
            f"It is computed here as it was made. Next: groundup {following}"
        )


def import_model(spec: str, root: Path) -> Imported:
    """Reads a model whole, which shows whether it can be used. Raises as `load_model`."""
    from groundup.interop.open_encoder import OpenEncoder

    found = load_model(spec, root)
    kind: Literal["decoder", "encoder"] = "decoder"
    option: Literal["--base", "--encoder"] | None = "--base"
    if isinstance(found, OpenEncoder):
        kind, option = "encoder", "--encoder" if found.pooling is not None else None
        context, predicts = found.max_tokens, found.model.config.head_transform
        does = "makes vectors" if option else "predicts hidden tokens" if predicts else "doesn't say how it pools"
    else:
        context, does = found.context_length, "chats" if found.chat_template else "completes, no chat template"
    config = found.model.config
    shape = config.parameters(), config.layers, config.width, config.vocab_size
    return Imported(Path(found.source), found.name, kind, *shape, context, does, option, found.license)
