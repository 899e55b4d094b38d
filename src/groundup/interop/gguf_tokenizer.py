"""The tokenizer inside a GGUF file: BPE of bytes or of SentencePiece, from its metadata.

Whatever would change the ids and isn't known is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tokenizers

from groundup.errors import ModelError
from groundup.interop.gguf_pre import KNOWN, PreTokenizer
from groundup.interop.gguf_sentencepiece import check_unused, from_scores
from groundup.tokens.sentencepiece import BYTE_PIECES, KINDS
from groundup.tokens.tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # tokenizer.ggml.token_type
BYTES, SENTENCEPIECE = "gpt2", "llama"  # tokenizer.ggml.model
BETWEEN_DOCUMENTS = "<|endoftext|>"  # of GPT-2, Qwen and SmolLM in pre-training; Llama begins each with its bos
ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>")
# Of a SentencePiece file that doesn't say them, in llama.cpp.
UNSAID = {"unknown": 0, "bos": 1, "eos": 2}
# Ours: GGUF has one eos where a tokenizer has several ends, and no field for what stands between documents.
OUR_SEPARATOR, OUR_ENDS = "groundup.separator_token_id", "groundup.end_token_ids"  # -1: no separator
FETCH_AGAIN = "Fetch the file again"
AS_FOLDER = "Bring the model as a Hugging Face folder with a tokenizer.json"

_SAYS_NOTHING = (
    "tokens", "token_type", "merges", "scores", "model", "pre", "add_bos_token", "token_type_count",
)  # fmt: skip
# What would change ids or generated text here, with the values at which it doesn't.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_eos_token": (False,), "add_sep_token": (False,), "add_space_prefix": (False,),
    "remove_extra_whitespaces": (False,), "precompiled_charsmap": ([],), "suppress_tokens": ([],),
    "normalizer.lowercase": (False,), "normalizer.strip_accents": (False,),
}  # fmt: skip


def read_tokenizer(metadata: Mapping[str, Any], place: str) -> Tokenizer:
    """The Tokenizer a GGUF file describes. Raises ModelError for another kind, or for what isn't known about it."""
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in (BYTES, SENTENCEPIECE):
        other = {"bert": "WordPiece isn't read here; b", "t5": "Unigram isn't read here; b"}.get(str(kind), "B")
        mend = f"{other}ring a model whose tokenizer is {KINDS}"
        wrong = f"its tokenizer is of kind {kind!r}, not BPE of bytes ({BYTES!r}) or SentencePiece ({SENTENCEPIECE!r})"
        raise ModelError(wrong, mend=mend, place=place)
    _refuse_strangers(metadata, kind, place)
    tokens = _texts(metadata, "tokenizer.ggml.tokens", place)
    types = _types(metadata, kind, tokens, place)
    backend, begins = (_bytes if kind == BYTES else _sentencepiece)(metadata, tokens, types, place)
    added = [i for i, kind in enumerate(types) if kind in (UNKNOWN, CONTROL, USER_DEFINED)]
    backend.add_tokens(
        [tokenizers.AddedToken(tokens[i], special=types[i] != USER_DEFINED, normalized=False) for i in added]
    )
    displaced = next((i for i in added if backend.token_to_id(tokens[i]) != i), None)
    if displaced is not None:  # the library passes over an empty one, and all behind it would move
        wrong = f"its special token {displaced} ({tokens[displaced]!r}) can't have that number"
        raise ModelError(wrong, mend=AS_FOLDER, place=place)
    specials = {tokens[i]: i for i in added if types[i] != USER_DEFINED}
    unsaid = UNSAID if kind == SENTENCEPIECE else {}
    separator, ends = _ends(metadata, specials, unsaid | special_ids(metadata), begins, place)
    return Tokenizer(backend, separator_id=separator, eos_ids=ends)


def special_ids(metadata: Mapping[str, Any]) -> dict[str, int]:
    """{"bos": 1, "eos": 2, "unknown": 0, "padding": 2, …}: the tokens that metadata name by what they are for."""
    begins, ends = "tokenizer.ggml.", "_token_id"
    return {
        key.removeprefix(begins).removesuffix(ends): value
        for key, value in metadata.items()
        if key.startswith(begins) and key.endswith(ends) and type(value) is int
    }


def _vocabulary(tokens: list[str], types: list[int]) -> dict[str, int]:
    """What merging can give: all but numbers without a token and, as in files of our own, special tokens at the end."""
    end = len(tokens)
    while end and types[end - 1] == UNUSED:
        end -= 1
    if UNUSED not in types[:end]:
        while end and types[end - 1] in (UNKNOWN, CONTROL, USER_DEFINED):
            end -= 1
        return {token: number for number, token in enumerate(tokens[:end])}
    return {token: number for number, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind != UNUSED}


def _bytes(
    metadata: Mapping[str, Any], tokens: list[str], types: list[int], place: str
) -> tuple[tokenizers.Tokenizer, bool]:
    """(tokenizer without added tokens, whether llama.cpp puts bos first unless the file says otherwise)."""
    name = str(metadata.get("tokenizer.ggml.pre", "default"))
    known = KNOWN.get(name)
    if known is None:
        raise ModelError(f"its pre-tokenizer {name!r} isn't known here", mend=AS_FOLDER, place=place)
    merges = _texts(metadata, "tokenizer.ggml.merges", place)
    return _backend(_vocabulary(tokens, types), merges, known, place), known.begins


def _sentencepiece(
    metadata: Mapping[str, Any], tokens: list[str], types: list[int], place: str
) -> tuple[tokenizers.Tokenizer, bool]:
    """As `_bytes`. Neither merges nor a pre-tokenizer count, if there are any: llama.cpp goes by scores alone."""
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        wrong = "tokenizer.ggml.scores is missing" if scores is None else "it doesn't have one score for each token"
        raise ModelError(wrong, mend=FETCH_AGAIN, place=place)
    vocabulary = _vocabulary(tokens, types)
    of_kind = {
        kind: [number for number, one in enumerate(types) if one == kind] for kind in (NORMAL, UNKNOWN, UNUSED, BYTE)
    }
    strange = sorted({tokens[i] for i in of_kind[BYTE]}.symmetric_difference(BYTE_PIECES))
    if strange:
        wrong = f"{strange[0]!r} is {'not' if strange[0] in BYTE_PIECES else ''} among its byte tokens"
        raise ModelError(wrong.replace("  ", " "), mend=AS_FOLDER, place=place)
    check_unused([tokens[i] for i in of_kind[UNUSED]], vocabulary, place)
    backend = from_scores(
        vocabulary,
        {tokens[i]: scores[i] for i in of_kind[NORMAL]},
        next((tokens[i] for i in of_kind[UNKNOWN]), None),
        prefixed=metadata.get("tokenizer.ggml.add_space_prefix", True),
        place=place,
    )
    return backend, True


def _backend(vocabulary: dict[str, int], merges: list[str], known: PreTokenizer, place: str) -> tokenizers.Tokenizer:
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    try:
        model = tokenizers.models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=known.whole_words)
    except Exception as error:  # the library raises bare Exception
        wrong = f"its vocabulary and merges don't agree ({str(error)[:200]})"
        raise ModelError(wrong, mend=FETCH_AGAIN, place=place) from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = known.build()
    backend.decoder = tokenizers.decoders.ByteLevel()
    return backend


def _ends(
    metadata: Mapping[str, Any], specials: Mapping[str, int], ids: Mapping[str, int], begins: bool, place: str
) -> tuple[int | None, list[int]]:
    """(what stands before a document, where a text ends)."""
    count = len(metadata["tokenizer.ggml.tokens"])
    strange = next((name for name, number in ids.items() if not 0 <= number < count), None)
    if strange is not None:
        wrong = f"its {strange} token is {ids[strange]}, but it has {count} tokens"
        raise ModelError(wrong, mend=FETCH_AGAIN, place=place)
    ours = metadata.get(OUR_SEPARATOR), metadata.get(OUR_ENDS)
    if type(ours[0]) is int and isinstance(ours[1], list) and all(type(number) is int for number in ours[1]):
        return (None if ours[0] == -1 else ours[0]), ours[1]
    ends = [ids.get("eos"), ids.get("eot"), *(specials.get(token) for token in ENDS)]
    whole = [number for number in dict.fromkeys(ends) if number is not None]
    begin = ids.get("bos")
    if metadata.get("tokenizer.ggml.add_bos_token", begins) and begin is not None:
        return begin, whole
    return specials.get(BETWEEN_DOCUMENTS, begin if begin is not None else ids.get("eos")), whole


def _types(metadata: Mapping[str, Any], kind: str, tokens: list[str], place: str) -> list[int]:
    types: list[int] = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if not isinstance(types, list):
        raise ModelError("tokenizer.ggml.token_type is no list", mend=FETCH_AGAIN, place=place)
    if len(types) != len(tokens):
        wrong = f"it has {len(tokens)} tokens but {len(types)} types of them"
        raise ModelError(wrong, mend="Fetch it again", place=place)
    known = range(NORMAL, BYTE if kind == BYTES else BYTE + 1)
    strange = next((i for i, number in enumerate(types) if number not in known), None)
    if strange is not None:
        wrong = (
            f"token {strange} ({tokens[strange]!r}) is of type {types[strange]}, which its kind ({kind}) doesn't have"
        )
        raise ModelError(wrong, mend=AS_FOLDER, place=place)
    if len(set(tokens)) != len(tokens):
        seen: set[str] = set()
        twice = next(token for token in tokens if token in seen or seen.add(token))  # type: ignore[func-returns-value]
        raise ModelError(f"it has the token {twice!r} twice", mend=FETCH_AGAIN, place=place)
    return types


def _texts(metadata: Mapping[str, Any], key: str, place: str) -> list[str]:
    values = metadata.get(key)
    if not isinstance(values, list) or not values or not isinstance(values[0], str):
        raise ModelError(f"{key} is missing or no list of text", mend=FETCH_AGAIN, place=place)
    return values


def _refuse_strangers(metadata: Mapping[str, Any], kind: str, place: str) -> None:
    for key, value in metadata.items():
        name = key.removeprefix("tokenizer.ggml.")
        if kind == SENTENCEPIECE and name == "add_space_prefix" and isinstance(value, bool):
            continue
        if name == key or name in _SAYS_NOTHING or name.endswith("_token_id") or value in _NEUTRAL.get(name, ()):
            continue
        raise ModelError(f"{key} is {str(value)[:60]!r}, which isn't carried here", mend=AS_FOLDER, place=place)
