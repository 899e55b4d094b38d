"""A tokenizer as the metadata of a GGUF file: the inverse of gguf_tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from groundup.errors import ModelError
from groundup.interop.gguf_pre import name_of
from groundup.interop.gguf_sentencepiece import scores_for
from groundup.interop.gguf_tokenizer import (
    BYTE,
    BYTES,
    CONTROL,
    NORMAL,
    OUR_ENDS,
    OUR_SEPARATOR,
    SENTENCEPIECE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)
from groundup.tokens.bytelevel import BYTE_TO_CHARACTER
from groundup.tokens.sentencepiece import BYTE_PIECES
from groundup.tokens.tokenizer import Tokenizer

AS_FOLDER = "Export to a Hugging Face folder, which carries it"
SEVERAL = ("eos", "eot", "eom")  # end of text, turn and message: llama.cpp stops at each
NAMED = {"padding": "<|pad|>", "mask": "<|mask|>", "unknown": "<unk>"}


def write_tokenizer(
    tokenizer: Tokenizer,
    vocab_size: int,
    *,
    chat_template: str | None = None,
    special_ids: Mapping[str, int] | None = None,
    drop_normalizer: bool = False,
) -> dict[str, Any]:
    """Metadata with tokens, types, merges and pre-tokenizer (or scores), special tokens and chat template.

    vocab_size: the model's; numbers beyond the tokenizer's become unused tokens, for llama.cpp takes the count of
    tokens for the count of rows. special_ids: as gguf_tokenizer.special_ids gives them, kept where they are known.
    drop_normalizer: llama.cpp has none; without it, text that isn't in the normal form gets other ids there.
    Raises ModelError for whatever would give other ids in llama.cpp.
    """
    state = json.loads(tokenizer.definition)
    tokens, types = _tokens(state, vocab_size, sentencepiece=tokenizer.form is not None)
    metadata: dict[str, Any] = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.add_space_prefix": tokenizer.form is not None and tokenizer.form.prefix == "every",
    }
    if tokenizer.form is None:
        metadata |= _byte_level(state, drop_normalizer)
    else:
        metadata |= {"tokenizer.ggml.model": SENTENCEPIECE, "tokenizer.ggml.pre": "default"}
        metadata |= {"tokenizer.ggml.scores": scores_for(state, tokenizer.form, tokens)}
    metadata |= {f"tokenizer.ggml.{kind}_token_id": i for kind, i in _ids(tokenizer, special_ids or {}).items()}
    # A text to be continued begins behind the separator here; a template writes what a conversation begins with.
    begins = tokenizer.separator_id is not None and (chat_template is None or "bos_token" in chat_template)
    metadata |= {"tokenizer.ggml.add_bos_token": begins}
    metadata |= {OUR_SEPARATOR: -1 if tokenizer.separator_id is None else tokenizer.separator_id}
    metadata |= {OUR_ENDS: list(tokenizer.eos_ids)}
    if chat_template is not None:
        metadata["tokenizer.chat_template"] = chat_template
    return metadata


def _byte_level(state: dict[str, Any], drop_normalizer: bool) -> dict[str, Any]:
    name = _checked_name(state, drop_normalizer)
    merges = state["model"]["merges"]
    pairs = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in merges]
    if not pairs or any(len(pair) != 2 or " " in "".join(pair) for pair in pairs):
        raise _refused("its merges have a space inside a token" if pairs else "it has no merges")
    return {
        "tokenizer.ggml.model": BYTES,
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in pairs],
    }


def _checked_name(state: dict[str, Any], drop_normalizer: bool) -> str:
    """Its `tokenizer.ggml.pre`, if everything else about it is what llama.cpp takes for granted."""
    model, normalizer = state["model"], state.get("normalizer")
    if normalizer is not None and not drop_normalizer:
        mend = f"{AS_FOLDER}, or leave it out (drop_normalizer) if all text is in that form already"
        raise _refused(f"it normalises text first ({normalizer.get('type')}), which llama.cpp doesn't", mend)
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(option):
            raise _refused(f"its {option} is {model[option]!r}, which llama.cpp's byte-level BPE doesn't have")
    if model.get("unk_token") and not set(BYTE_TO_CHARACTER) <= model["vocab"].keys():
        raise _refused(f"it writes {model['unk_token']} for bytes without a token, which llama.cpp leaves out")
    name = name_of(state)
    if name is None:
        splits = json.dumps(state.get("pre_tokenizer"), ensure_ascii=False)[:200]
        raise _refused(f"llama.cpp has no name for the way it splits text ({splits})")
    return name


def _tokens(state: dict[str, Any], vocab_size: int, *, sentencepiece: bool) -> tuple[list[str], list[int]]:
    kinds = dict.fromkeys(BYTE_PIECES, BYTE) if sentencepiece else {}
    texts: dict[int, tuple[str, int]] = {
        number: (token, kinds.get(token, NORMAL)) for token, number in state["model"]["vocab"].items()
    }
    for token in state.get("added_tokens", []):
        strips = next((option for option in ("lstrip", "rstrip", "single_word") if token.get(option)), None)
        if strips is not None:
            raise _refused(f"its token {token['content']!r} takes the spaces around it ({strips})")
        special = UNKNOWN if sentencepiece and token["content"] == state["model"].get("unk_token") else CONTROL
        texts[token["id"]] = token["content"], special if token["special"] else USER_DEFINED
    if max(texts) >= vocab_size:
        wrong = f"it has {max(texts) + 1} tokens, the model {vocab_size}"
        raise _refused(wrong, "Take both from one and the same model")
    rows = [texts.get(number, (f"[PAD{number}]", UNUSED)) for number in range(vocab_size)]
    tokens = [token for token, _ in rows]
    if len(set(tokens)) != len(tokens):
        raise _refused("two of its tokens have the same text")
    return tokens, [kind for _, kind in rows]


def _ids(tokenizer: Tokenizer, known: Mapping[str, int]) -> dict[str, int]:
    """The tokens metadata name by what they are for. llama.cpp takes number 11 for any end or beginning left out."""
    ends = tokenizer.eos_ids
    if not 1 <= len(ends) <= len(SEVERAL):
        mend = "Save the tokenizer with one to three ends of text (eos_ids)"
        raise _refused(f"it names {len(ends)} ends of text, and a GGUF file holds one to {len(SEVERAL)}", mend)
    ids = dict(zip(SEVERAL, ends, strict=False))
    ids["bos"] = ends[0] if tokenizer.separator_id is None else tokenizer.separator_id
    ids["padding"] = ends[0]
    ids |= {kind: tokenizer.special[token] for kind, token in NAMED.items() if token in tokenizer.special}
    return ids | {kind: number for kind, number in known.items() if kind not in SEVERAL}


def _refused(wrong: str, mend: str = AS_FOLDER) -> ModelError:
    return ModelError(wrong, mend=mend, place="tokenizer")
