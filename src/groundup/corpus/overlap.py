"""How much of the held-out text was seen in training: the share of its word 12-grams that training holds too.

What is left after near-duplicates were kept together: licences, boilerplate, copied functions. The report shows it
beside every figure on held-out text. (GPT-3's report, Brown et al. 2020, appendix C, used 13-grams of lower-cased words
without punctuation.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from groundup.corpus.shingles import ngram_hashes, word_hashes

WORDS = 12


@dataclass(frozen=True, slots=True)
class Overlap:
    ngrams: int  # in the held-out texts, each place counted
    seen: int  # of them, those that some training text holds
    share: float  # seen / ngrams; 0 where there are none
    by_document: dict[str, float]  # held-out document id -> its own share; 0 for texts of fewer words than an n-gram
    words: int  # of an n-gram


def overlap(train: Iterable[str], held_out: Mapping[str, str], *, words: int = WORDS) -> Overlap:
    """Overlap of held-out texts, by document id, with training texts.

    Memory goes with the held-out texts only: training texts are read one at a time.
    """
    grams = {id_: ngram_hashes(word_hashes(text)[0], words) for id_, text in held_out.items()}
    wanted = np.unique(np.concatenate([*grams.values(), np.zeros(0, np.uint64)]))
    seen = np.zeros(len(wanted), np.bool_)
    if len(wanted):
        for text in train:
            found = ngram_hashes(word_hashes(text)[0], words)
            places = np.minimum(np.searchsorted(wanted, found), len(wanted) - 1)
            seen[places[wanted[places] == found]] = True
    hits = {id_: int(np.count_nonzero(seen[np.searchsorted(wanted, found)])) for id_, found in grams.items()}
    total = sum(len(found) for found in grams.values())
    return Overlap(
        ngrams=total,
        seen=sum(hits.values()),
        share=sum(hits.values()) / total if total else 0.0,
        by_document={id_: hits[id_] / len(found) if len(found) else 0.0 for id_, found in grams.items()},
        words=words,
    )
