"""One class for every tokenizer: those trained here and those that come with a brought model.

It wraps a `tokenizers.Tokenizer`, a BPE of bytes or of SentencePiece (see sentencepiece.py), and adds what scoring
needs: the bytes of every token, what a text loses in encoding, and a digest. Text is never read for special tokens
unless asked: a document that spells "<|endoftext|>" is a document about it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tokenizers

from groundup.errors import ModelError
from groundup.tokens.bytelevel import pre_tokenizer, token_to_bytes, utf8
from groundup.tokens.sentencepiece import KINDS, SPACE, piece_to_bytes, read_form, without_prefix

if TYPE_CHECKING:
    from groundup.tokens.index_encoder import IndexEncoder

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
OURS_FILE = "groundup_tokenizer.json"  # separator and ends: Hugging Face has no field for the first

ENDS = ("<|endoftext|>", "<|im_end|>")
Int32 = npt.NDArray[np.int32]


class Tokenizer:
    """BPE between text and token ids.

    backend: tokenizer of the `tokenizers` library; its post-processor is never used.
    separator_id: what stands before a document; None if the model has nothing of the kind.
    eos_ids: ids at which a text ends in generation.
    token_bytes: (V,) the bytes of each token inside a text; none of special tokens. A space that the tokenizer puts
    before a text (Llama 2's ▁) is among them and is no part of the text: `decode_bytes` leaves it out.
    form: None, or how a BPE of SentencePiece treats spaces.
    Raises ModelError for an empty vocabulary, a form that isn't known, or ids that aren't in the vocabulary.
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, *, separator_id: int | None = None, eos_ids: Sequence[int] = ()
    ) -> None:
        self.definition: str = backend.to_str()  # as in tokenizer.json
        self._plain = tokenizers.Tokenizer.from_str(self.definition)
        self._plain.encode_special_tokens = True  # special tokens in a text are ordinary text
        self._plain.no_padding()
        self._plain.no_truncation()
        vocabulary = self._plain.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise ModelError("the tokenizer has no tokens", mend="Train it on some text first", place=TOKENIZER_FILE)
        self.form = read_form(self._plain, TOKENIZER_FILE)
        to_bytes = token_to_bytes if self.form is None else piece_to_bytes
        added = self._plain.get_added_tokens_decoder()
        self.special: dict[str, int] = {
            token.content: number for number, token in sorted(added.items()) if token.special
        }
        self.vocab_size: int = max(vocabulary.values()) + 1
        self.token_bytes: list[bytes] = [b""] * self.vocab_size
        for token, number in vocabulary.items():
            if number not in added:
                self.token_bytes[number] = to_bytes(token)
            elif not added[number].special:
                self.token_bytes[number] = token.encode("utf-8") if self.form is None else to_bytes(token)
        if self.form is not None and (unknown := vocabulary.get(self._plain.model.unk_token or "")) is not None:
            self.token_bytes[unknown] = b""  # stands for characters that are lost
        self.separator_id = separator_id
        self.eos_ids: list[int] = list(eos_ids)
        for number in [*self.eos_ids, *([] if separator_id is None else [separator_id])]:
            if not 0 <= number < self.vocab_size:
                raise ModelError(
                    f"token {number} is named as a separator or an end, but the vocabulary has {self.vocab_size}",
                    mend="Take the tokenizer that belongs to the model",
                    place=TOKENIZER_FILE,
                )

    # -- text → ids ----------------------------------------------------------------------------------------------

    def encode(self, text: str, *, specials: bool = False, inside: bool = False) -> list[int]:
        """Token ids of a text, no special token added. specials=True: those spelled in it count (chat templates only).

        inside: the text goes on behind a special token, where some tokenizers put no space as they do at a beginning.
        A lone surrogate, which no UTF-8 file can hold, is read as "?".
        """
        backend = self._with_specials if specials else self._inside if inside else self._plain
        return list(backend.encode(utf8(text), add_special_tokens=False).ids)

    def encode_many(self, texts: Sequence[str]) -> list[Int32]:
        """As `encode`, for many texts at once: through gigatoken where its ids are the same on a sample.

        A BPE of SentencePiece is encoded by `tokenizers` always (see fast.py)."""
        flat, counts = self._encoder.encode(texts)
        return np.split(flat, np.cumsum(counts)[:-1]) if len(counts) else []

    def index_encoder(self, texts: Sequence[str], *, named: str | None = None) -> IndexEncoder:
        """What encodes these texts for the corpus memory, never for a score: the fastest encoder with `encode`'s ids on
        99 % of a sample of them (see index_encoder.py).

        named: the name of one chosen before, taken again for documents that join those; nothing is compared then.
        """
        from groundup.tokens.index_encoder import Original, choose

        original = Original(
            reference=self._plain,
            definition=self.definition,
            exact=self._encoder,
            token_bytes=self.token_bytes,
            present=self._present,
            special=list(self.special),
            of_sentencepiece=self.form is not None,
        )
        return choose(original, texts, named)

    def encode_for_index(self, texts: Sequence[str]) -> tuple[Int32, npt.NDArray[np.int64]]:
        """(ids of all texts in a row, number of ids of each) by `index_encoder` of these texts."""
        return self.index_encoder(texts).encode(texts)

    # -- ids → text ----------------------------------------------------------------------------------------------

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Bytes of the text that these tokens are, from its beginning on: those of the tokens in a row, without a space
        that the tokenizer put in front. Special tokens have none; an id outside the vocabulary raises IndexError."""
        if self.form is None or self.form.prefix == "none":
            return b"".join(self.token_bytes[number] for number in ids)
        parts, begins = [], True
        for number in ids:
            data = self.token_bytes[number]
            if number in self._words:
                begins = self.form.again
            elif begins and data:
                data, begins = data.removeprefix(b" "), False
            parts.append(data)
        return b"".join(parts)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the tokens; bytes that are no UTF-8 (a token may end inside a character) become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    # -- what an encoding loses ----------------------------------------------------------------------------------

    @cached_property
    def token_lengths(self) -> npt.NDArray[np.int64]:
        """(V,) bytes of each token."""
        return np.array([len(token) for token in self.token_bytes], dtype=np.int64)

    def missing_bytes(self, text: str) -> int:
        """UTF-8 bytes of the text that its encoding loses because the vocabulary has no token for them.

        Exact: bytes of the text less bytes of its tokens. A text without any of the vocabulary's absent bytes (every
        text for ours, nearly every one for SmolLM2) is known to lose none without being encoded. A BPE of SentencePiece
        can't tell ▁ from a space: the two bytes by which they differ are lost. Where it puts no ▁ before a text that
        begins with a space, that space is.
        """
        raw = utf8(text).encode("utf-8")
        ambiguous = self.form is not None and (SPACE in text or (self.form.loses_space and text.startswith(" ")))
        if self._lossless and not ambiguous and not raw.translate(None, self._present):
            return 0
        return max(0, len(raw) - len(self.decode_bytes(self.encode(text))))

    @cached_property
    def _present(self) -> bytes:
        """Byte values with a token of their own. Only of these is it certain that no context loses them."""
        return bytes(sorted({token[0] for token in self.token_bytes if len(token) == 1}))

    @cached_property
    def _lossless(self) -> bool:
        """Nothing but an absent byte loses anything: no normalizer (but one that writes spaces as ▁), no added word
        that takes the spaces around it."""
        words = [token for number, token in self._plain.get_added_tokens_decoder().items() if number in self._words]
        takes = any(token.lstrip or token.rstrip or (token.normalized and self.form is not None) for token in words)
        if self.form is None:
            return not takes and self._plain.normalizer is None
        return not takes and not (words and self.form.prefix == "always")  # which loses a space behind each

    @cached_property
    def _words(self) -> frozenset[int]:
        """Added tokens that aren't special: found in a text before anything else."""
        return frozenset(self._plain.get_added_tokens_decoder().keys() - set(self.special.values()))

    # -- identity and files --------------------------------------------------------------------------------------

    @cached_property
    def digest(self) -> str:
        """sha256 over what decides the ids, independent of how the file is laid out."""
        state = json.loads(self.definition)
        state.pop("post_processor", None)
        content = {"tokenizer": state, "separator_id": self.separator_id, "eos_ids": self.eos_ids}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the files that transformers' AutoTokenizer and `load` read. The same tokenizer gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "additional_special_tokens": list(self.special),
        }
        name_of = {number: name for name, number in self.special.items()}
        if self.eos_ids and self.eos_ids[0] in name_of:
            config["eos_token"] = name_of[self.eos_ids[0]]
        if self.separator_id in name_of:  # chat templates name it; transformers puts none in front for this
            config["bos_token"] = name_of[self.separator_id]
        named = (("pad_token", "<|pad|>"), ("mask_token", "<|mask|>"))
        config |= {field: token for field, token in named if token in self.special}
        ours = {"separator_id": self.separator_id, "eos_ids": self.eos_ids}
        _write(folder / TOKENIZER_FILE, self.definition)
        _write(folder / CONFIG_FILE, json.dumps(config, indent=1))
        _write(folder / OURS_FILE, json.dumps(ours))

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read what `save` wrote, or the tokenizer of a Hugging Face folder (BPE of bytes or of SentencePiece).

        Raises ModelError for what is none."""
        path = folder / TOKENIZER_FILE
        try:
            text = path.read_text(encoding="utf-8")
            state = json.loads(text)
            _check_kind(state, path)
            backend = tokenizers.Tokenizer.from_str(text)
            read_form(backend, str(path))
        except FileNotFoundError as error:
            mend = "Name a folder with a tokenizer.json"
            raise ModelError("there is no such file", mend=mend, place=str(path)) from error
        except ModelError:
            raise
        except Exception as error:  # the library raises bare Exception for what it can't read
            raise ModelError(
                f"it can't be read as a tokenizer ({str(error)[:200]})", mend="Fetch the file again", place=str(path)
            ) from error
        ours = _read_json(folder / OURS_FILE)
        if ours:
            return cls(backend, separator_id=ours.get("separator_id"), eos_ids=ours.get("eos_ids", []))
        separator, ends = _brought_ends(folder, backend)
        return cls(backend, separator_id=separator, eos_ids=ends)

    @classmethod
    def from_parts(
        cls,
        tokens: Sequence[str],
        merges: Sequence[str],
        *,
        pre: str,
        special_ids: Iterable[int],
        separator_id: int | None,
        eos_ids: Sequence[int],
    ) -> Tokenizer:
        """Build one from the parts a GGUF file holds ("gpt2" kind). merges: "left right". pre: `tokenizer.ggml.pre`.

        Raises ModelError for a pre-tokenizer that isn't known by name: a near guess would give other ids in silence.
        """
        known = pre_tokenizer(pre)
        if known is None:
            raise ModelError(
                f"its pre-tokenizer {pre!r} isn't known here",
                mend="Bring the model as a Hugging Face folder with a tokenizer.json",
                place="tokenizer.ggml.pre",
            )
        special = set(special_ids)
        vocabulary = {token: number for number, token in enumerate(tokens)}
        pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
        try:
            backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=pairs))
        except Exception as error:
            raise ModelError(
                f"its vocabulary and merges don't agree ({str(error)[:200]})",
                mend="Fetch the file again",
                place="tokenizer.ggml.merges",
            ) from error
        backend.pre_tokenizer = known
        backend.decoder = tokenizers.decoders.ByteLevel()
        backend.add_special_tokens(
            [tokenizers.AddedToken(tokens[i], special=True, normalized=False) for i in sorted(special)]
        )
        return cls(backend, separator_id=separator_id, eos_ids=eos_ids)

    @cached_property
    def _with_specials(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.definition)

    @cached_property
    def _inside(self) -> tokenizers.Tokenizer:
        if self.form is None or self.form.prefix != "first":
            return self._plain
        backend = without_prefix(tokenizers.Tokenizer.from_str(self._plain.to_str()), self.form)
        backend.encode_special_tokens = True
        return backend

    @cached_property
    def _encoder(self) -> Any:
        from groundup.tokens.fast import FastEncoder

        return FastEncoder(self._plain, self.definition)

    @property
    def encoder_name(self) -> str:
        """Which library encodes many texts: "gigatoken" or "tokenizers"."""
        return str(self._encoder.name)

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab_size} tokens, {self.digest[:12]})"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _check_kind(state: Any, path: Path) -> None:
    model = state.get("model", {}) if isinstance(state, dict) else {}
    kind = model.get("type") or ("BPE" if "merges" in model else "unknown")
    level = '"ByteLevel"' in json.dumps(state.get("pre_tokenizer")) if isinstance(state, dict) else False
    if kind != "BPE" or not (level or model.get("byte_fallback")):
        without = "" if kind != "BPE" else ", without bytes"
        raise ModelError(
            f"its kind is {kind}{without}, which isn't read here",
            mend=f"Bring a model whose tokenizer is {KINDS}",
            place=str(path),
        )


def _content(token: Any) -> str | None:
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) else None


def _brought_ends(folder: Path, backend: tokenizers.Tokenizer) -> tuple[int | None, list[int]]:
    """(separator, ends) of a Hugging Face folder: what the model begins with, else what it ends with."""
    config, generation = _read_json(folder / "config.json"), _read_json(folder / "generation_config.json")
    named = _read_json(folder / CONFIG_FILE)
    ends: list[int] = []
    for value in (generation.get("eos_token_id"), config.get("eos_token_id")):
        ends += value if isinstance(value, list) else [] if value is None else [value]
    bos, eos = (_content(named.get(field)) for field in ("bos_token", "eos_token"))
    number = backend.token_to_id(eos) if eos else None
    ends += [] if number is None else [number]
    # What GPT-2, Qwen and SmolLM put between documents in pre-training; Llama begins each with its bos.
    separator = backend.token_to_id("<|endoftext|>")
    if separator is None and bos:
        separator = backend.token_to_id(bos)
    if separator is None and ends:
        separator = ends[0]
    return separator, list(dict.fromkeys(number for number in ends if number < backend.get_vocab_size()))
