"""The tokenizer inside a GGUF file: byte-level BPE from its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import Regex, pre_tokenizers

from groundup.errors import ModelError
from groundup.tokens.bytelevel import pre_tokenizer
from groundup.tokens.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # tokenizer.ggml.token_type
BETWEEN_DOCUMENTS = "<|endoftext|>"  # of GPT-2, Qwen and SmolLM in pre-training; Llama begins each with its bos
ENDS = ("<|im_end|>", "<|eot_id|>", "<|endoftext|>")
WHOLE_WORDS_FIRST = ("llama-bpe", "llama3", "llama-v3")  # a word that is a token is taken before any merge
# What llama.cpp falls back on for files that name no pre-tokenizer, four splits in a row (src/llama-vocab.cpp).
DEFAULT_PATTERNS = (
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
)


def read_tokenizer(metadata: Mapping[str, Any], place: str) -> Tokenizer:
    """The Tokenizer a GGUF file describes. Raises ModelError for another kind, or a pre-tokenizer that isn't known."""
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        mend = "Bring a model whose tokenizer is byte-level BPE (Llama 3, Qwen, SmolLM)"
        raise ModelError(f"its tokenizer is of kind {kind!r}, not byte-level BPE ('gpt2')", mend=mend, place=place)
    tokens = _list(metadata, "tokenizer.ggml.tokens", str, place)
    merges = _list(metadata, "tokenizer.ggml.merges", str, place)
    types = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise ModelError(
            f"it has {len(tokens)} tokens but {len(types)} types of them", mend="Fetch it again", place=place
        )
    name = str(metadata.get("tokenizer.ggml.pre", "default"))
    backend = _backend(tokens, merges, name, place)
    added = [i for i, kind in enumerate(types) if kind in (UNKNOWN, CONTROL, USER_DEFINED)]
    backend.add_tokens(
        [tokenizers.AddedToken(tokens[i], special=types[i] != USER_DEFINED, normalized=False) for i in added]
    )
    specials = {tokens[i]: i for i in added if types[i] != USER_DEFINED}
    ends = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    ends += [specials.get(token) for token in ENDS]
    begin = metadata.get("tokenizer.ggml.bos_token_id")
    separator = specials.get(BETWEEN_DOCUMENTS, begin if begin is not None else ends[0])
    known = [number for number in dict.fromkeys(ends) if isinstance(number, int) and 0 <= number < len(tokens)]
    return Tokenizer(backend, separator_id=separator, eos_ids=known)


def _backend(tokens: list[str], merges: list[str], name: str, place: str) -> tokenizers.Tokenizer:
    splits = default_pre_tokenizer() if name == "default" else pre_tokenizer(name)
    if splits is None:
        raise ModelError(
            f"its pre-tokenizer {name!r} isn't known here",  # a near guess would give other ids in silence
            mend="Bring the model as a Hugging Face folder with a tokenizer.json",
            place=place,
        )
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    try:
        model = tokenizers.models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=name in WHOLE_WORDS_FIRST)
    except Exception as error:  # the library raises bare Exception
        wrong = f"its vocabulary and merges don't agree ({str(error)[:200]})"
        raise ModelError(wrong, mend="Fetch the file again", place=place) from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = splits
    backend.decoder = tokenizers.decoders.ByteLevel()
    return backend


def default_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated", False) for pattern in DEFAULT_PATTERNS]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, level])


def _list(metadata: Mapping[str, Any], key: str, element: type, place: str) -> list[Any]:
    values = metadata.get(key)
    if not isinstance(values, list) or not values or not isinstance(values[0], element):
        raise ModelError(f"{key} is missing or no list of text", mend="Fetch the file again", place=place)
    return values
