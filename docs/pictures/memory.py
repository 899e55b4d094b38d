"""Draws the pictures of docs/memory.md from what one run measured of a decoder and its memory.

    pip install matplotlib                                 # not a dependency of groundup
    python docs/pictures/memory.py STORE                   # the run of docs/benchmarks.md, "Memory beside a decoder"

Three pictures: how the gate decides (memory-gate.svg), what that saves and costs by the length of the match
(memory-bands.svg), and for each held-out document how much memory helps by how much of it stands in the corpus
(memory-documents.svg).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np

from groundup.evaluation.memory_scores import Surveyed, weighed
from groundup.evaluation.token_record import TokenRecord
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.store import Artifact, Store
from groundup.stages.memory import BANDS, measured_mixture
from groundup.stages.scores import RECORD, read_scores
from groundup.stages.split import COLUMNS

sys.path.insert(0, str(Path(__file__).parent))
from make import BLUE, GREEN, GREY, HERE, ORANGE, RED, STYLE, save  # the same look

MATCHES = [(1, 1), (2, 2), (3, 3), (4, 5), (6, 8), (9, 12), (13, 20), (21, 40), (41, 10**9)]


def gate(scored: Artifact, memory: Artifact, mixed: Artifact) -> None:
    """λ on held-out documents by the length of the match, for tokens the decoder is sure of and others."""
    mixture = measured_mixture(memory, mixed)
    assert mixture.gate is not None
    record = TokenRecord.load(scored.file(RECORD)).part(0, len(read_scores(scored)["held_out"]))
    surveyed = Surveyed.of(mixture.memory, record)
    share, _ = weighed(mixture.memory, mixture.backoff, mixture.gate, surveyed)
    joined, sure = surveyed.joined(), np.exp(record.best_logp[:, 0])
    lengths, distinct = joined.lengths[:, 0], joined.distinct[:, 0]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    names = [f"{a}" if a == b else f"{a}–{b}" if b < 10**9 else f"{a}+" for a, b in MATCHES]
    by_decoder = (
        (sure < 0.3, "best token below .3", ORANGE),
        ((sure >= 0.3) & (sure < 0.8), ".3 to .8", GREEN),
        (sure >= 0.8, "above .8", BLUE),
    )
    by_followers = (
        (distinct == 1, "one token followed", BLUE),
        ((distinct > 1) & (distinct <= 4), "2 to 4", GREEN),
        (distinct > 4, "more than 4", ORANGE),
    )
    for axes, classes in ((left, by_decoder), (right, by_followers)):
        for here, label, colour in classes:
            means = [_mean(share[here & (lengths >= a) & (lengths <= b)]) for a, b in MATCHES]
            axes.plot(names, means, color=colour, marker="o", markersize=4, label=label)
        axes.set(xlabel="tokens of the longest match", ylim=(0, 1))
        axes.legend(loc="upper left")
    left.set(title="by how sure the decoder is", ylabel="memory's weight λ, mean")
    right.set(title="by how many different tokens followed the match")
    save(figure, "memory-gate")


def bands(mixed: Artifact) -> None:
    """Bits a token saved and lost by the mixture, by the length of the match, in both columns."""
    found = mixed.read_json(BANDS)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    for axis, (column, title) in zip(axes, COLUMNS.items(), strict=True):
        rows = found[column]["bands"]
        tokens = sum(row["tokens"] for row in rows)
        names = [_range(row) for row in rows]
        axis.bar(names, [row["saved_bits"] / tokens for row in rows], color=BLUE, label="saved")
        axis.bar(names, [-row["cost_bits"] / tokens for row in rows], color=RED, label="cost")
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.set(title=title, xlabel="tokens of the longest match")
    axes[0].set(ylabel="bits, as a mean over all tokens")
    axes[0].legend()
    save(figure, "memory-bands")


def documents(scored: Artifact, mixed: Artifact) -> None:
    """Each document's bits saved by how much of it lies in matches of twelve tokens or more."""
    alone, both, found = read_scores(scored), read_scores(mixed), mixed.read_json(BANDS)
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    for (column, title), colour in zip(COLUMNS.items(), (BLUE, ORANGE), strict=True):
        before, after = (np.array([one.bits for one in scores[column]]) for scores in (alone, both))
        shares = 100 * np.array(found[column]["long_match_share"])
        fewer = 100 * (1 - after / before)
        axes.plot(shares.round(1), fewer.round(1), "o", markersize=3, color=colour, label=title, markeredgewidth=0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(xlabel="% of the document's tokens in matches of 12 tokens or more", ylabel="% fewer bits with memory")
    axes.legend(loc="upper left")
    save(figure, "memory-documents")


def _mean(values: Any) -> float:
    return float(values.mean()) if len(values) >= 20 else float("nan")  # of fewer a mean says little


def _range(row: dict[str, Any]) -> str:
    return f"{row['low']}–{row['high']}" if row["high"] is not None else f"{row['low']}+"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    store = Store(parser.parse_args().store)
    run = latest_run(store)
    assert run is not None, "the store holds no run"
    artifacts = Lineage(store, run).artifacts()
    kind = "base" if "mix-base" in artifacts else "decoder"
    scored, memory, mixed = (artifacts[f"{name}-{kind}"] for name in ("score", "memory", "mix"))
    with plt.rc_context(STYLE):
        gate(scored, memory, mixed)
        bands(mixed)
        documents(scored, mixed)
    sys.stdout.write("".join(f"{HERE / name}.svg\n" for name in ("memory-gate", "memory-bands", "memory-documents")))


if __name__ == "__main__":
    main()
