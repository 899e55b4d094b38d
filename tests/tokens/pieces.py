"""Small BPE tokenizers of SentencePiece in every form, made with the `tokenizers` and `transformers` libraries."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers.tokenization_utils_base import generate_merges

from tests.interop.lines import code_lines

SPACE = "▁"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIALS = ["<unk>", "<s>", "</s>"]
TEXTS = [
    "The quick brown fox jumps over the lazy dog, and the other fox doesn't care. " * 9,
    "naïve café, Größe, über\n\n\tdef f(x):\n        return x + 1  # the end\n" * 9,
    "    if x:\n        for y in range(10):\n            print(x, y)\n" * 9,
]
FORMS = ("llama", "first", "always", "never", "first-split", "gemma")


@cache
def vocabulary(size: int = 700) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Specials, bytes, then pieces in the order in which they were merged; and every cut of each, by transformers."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", SPACE)
    trained.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(f"{SPACE}+[^{SPACE}]*"), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=size - 259, show_progress=False, special_tokens=[], limit_alphabet=90, initial_alphabet=[SPACE]
    )
    trained.train_from_iterator([*TEXTS, *code_lines(400)], trainer)
    pieces = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    merged = [piece for piece, _ in pieces if len(piece) > 1]
    order = [*merged, *(piece for piece, _ in pieces if len(piece) == 1)]
    whole = {piece: number for number, piece in enumerate([*SPECIALS, *BYTES, *order])}
    scores = {piece: float(-whole[piece]) for piece in order}
    merges = generate_merges({piece: whole[piece] for piece in order}, scores)
    return whole, [(left, right) for left, right in merges]


def backend(form: str, *, words: tuple[str, ...] = ()) -> tokenizers.Tokenizer:
    """words: added tokens that aren't special."""
    vocab, merges = vocabulary()
    made = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    replace = normalizers.Replace(" ", SPACE)
    if form == "llama":
        made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace])
    elif form == "gemma":
        made.normalizer = replace
        made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    else:
        scheme, _, split = form.partition("-")
        made.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme, split=bool(split))
    back = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    strip = [] if form in ("gemma", "never") else [decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence([*back, *strip])
    made.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    made.add_tokens([tokenizers.AddedToken(word, special=False, normalized=False) for word in words])
    return made


def folder(path: Path, form: str) -> Path:
    """As transformers saves it, from the class of the family where that keeps the form."""
    vocab, pairs = vocabulary()
    merges: Any = pairs  # transformers' types know lists of lines alone
    made: Any
    if form == "gemma":
        made = transformers.GemmaTokenizer(
            vocab=vocab, merges=merges, bos_token="<s>", eos_token="</s>", pad_token="<unk>", mask_token="<unk>"
        )
    elif form == "first":
        made = transformers.LlamaTokenizerFast(vocab=vocab, merges=merges)
    else:
        made = transformers.PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=backend(form), unk_token="<unk>", bos_token="<s>", eos_token="</s>"
        )
    made.save_pretrained(path)
    return path
