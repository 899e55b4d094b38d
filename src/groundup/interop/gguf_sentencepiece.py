"""BPE of SentencePiece as GGUF files hold it: a score for every piece instead of a list of merges.

SentencePiece, and llama.cpp after it, always joins the two neighbours whose piece has the highest score, the leftmost
of equals. A list of merges gives the same where every piece has a score of its own and every way to cut a piece in two
is in the list (transformers' converter writes such lists): only between cuts of one and the same piece may the list
choose another place first. That needs neighbours x, y, z with x + y = y + z; no line in the tests has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tokenizers

from groundup.errors import ModelError
from groundup.tokens.sentencepiece import BYTE_PIECES, SPACE, Form, build

Pair = tuple[str, str]
AS_FOLDER = "Bring the model as a Hugging Face folder with a tokenizer.json"
EXPORT_FOLDER = "Export to a Hugging Face folder, which carries it"


def from_scores(
    vocabulary: Mapping[str, int], scores: Mapping[str, float], unknown: str | None, *, prefixed: bool, place: str
) -> tokenizers.Tokenizer:
    """The tokenizer of a vocabulary, without its added tokens.

    scores: of the pieces that merging gives. unknown: the unknown token. prefixed: ▁ is put before a text.
    Raises ModelError for scores that don't say what comes first.
    """
    merges = merges_of(scores)
    of_score: dict[float, str] = {}
    for left, right in merges:
        piece = left + right
        other = of_score.setdefault(scores[piece], piece)
        if other != piece:
            wrong = f"its pieces {other!r} and {piece!r} have one score, so the merge of which comes first isn't said"
            raise ModelError(wrong, mend=AS_FOLDER, place=place)
    known = unknown if unknown in vocabulary else None
    model = tokenizers.models.BPE(
        vocab=dict(vocabulary), merges=merges, unk_token=known, fuse_unk=True, byte_fallback=True
    )
    return build(model, prefixed=prefixed)


def merges_of(scores: Mapping[str, float]) -> list[Pair]:
    """Every way to cut a piece into two others, in the order of transformers' converter: the best score first, of one
    piece the longest left part."""
    pairs = ((left, right, scores[left + right]) for piece in scores for left, right in _cuts(piece, scores))
    return [(left, right) for left, right, _ in sorted(pairs, key=lambda pair: (-pair[2], -len(pair[0])))]


def check_unused(pieces: Sequence[str], vocabulary: Mapping[str, Any], place: str) -> None:
    """Raises ModelError for an unused piece that merging could give: SentencePiece takes it apart again, llama.cpp
    doesn't."""
    strange = next((piece for piece in pieces if next(_cuts(piece, vocabulary), None)), None)
    if strange is not None:
        wrong = f"its piece {strange!r} is marked as unused, though two others make it"
        raise ModelError(wrong, mend=AS_FOLDER, place=place)


def scores_for(state: Mapping[str, Any], form: Form, tokens: Sequence[str]) -> list[float]:
    """A score for each token, from which llama.cpp merges as the tokenizer does.

    state: parsed tokenizer.json. Raises ModelError where there are none, or llama.cpp treats spaces another way.
    """
    vocabulary: dict[str, int] = state["model"]["vocab"]
    if form.prefix in ("always", "first"):
        wrong = f"it puts ▁ before a text only where none stands already (Metaspace, {form.prefix})"
        raise _refused(f"{wrong}, and llama.cpp always does")
    absent = next((piece for piece in BYTE_PIECES if piece not in vocabulary), None)
    if absent is not None:
        raise _refused(f"it lacks the token {absent}, which llama.cpp needs")
    given = [(pair[0], pair[1]) for pair in _pairs(state["model"]["merges"])]
    if form.split and (inner := next((a + b for a, b in given if SPACE in (a + b)[1:]), None)) is not None:
        raise _refused(f"it merges words apart, and its piece {inner!r} has a ▁ inside; llama.cpp would make it")
    _check_words(state, form)
    order: dict[str, float] = {}
    for left, right in given:  # pieces in the order in which they come first
        if left + right in order and next(reversed(order)) != left + right:
            raise _refused(f"its merges of {left + right!r} have others in between, which no score can say")
        order.setdefault(left + right, -1.0 - len(order))
    special = {token["content"] for token in state.get("added_tokens", [])} | set(BYTE_PIECES)
    plain = vocabulary.keys() - special
    needed = {cut for piece in plain for cut in _cuts(piece, plain)}
    if missing := sorted(needed - set(given), key=lambda pair: vocabulary["".join(pair)]):
        left, right = missing[0]
        more = f" ({len(missing):,} such cuts)" if len(missing) > 1 else ""
        raise _refused(f"it doesn't join {left!r} and {right!r} to {left + right!r}, and llama.cpp would{more}")
    lowest = -1.0 - len(order)  # of characters, which nothing is merged to
    return [order.get(token, lowest if token in plain else 0.0) for token in tokens]


def _check_words(state: Mapping[str, Any], form: Form) -> None:
    for token in state.get("added_tokens", []):
        content = token["content"]
        if SPACE in content:
            raise _refused(f"its token {content!r} is found in a text as it stands, and llama.cpp reads ▁ as a space")
        if token.get("normalized") and (form.prefix != "none" or " " in content):
            raise _refused(f"its token {content!r} is found only once spaces are ▁ (normalized)")


def _cuts(piece: str, parts: Any) -> Iterator[Pair]:
    for at in range(1, len(piece)):
        if piece[:at] in parts and piece[at:] in parts:
            yield piece[:at], piece[at:]


def _pairs(merges: Sequence[Any]) -> Iterator[Sequence[str]]:
    return (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)


def _refused(wrong: str) -> ModelError:
    return ModelError(wrong, mend=EXPORT_FOLDER, place="tokenizer")
