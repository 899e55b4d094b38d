"""Draws the pictures of docs/roadmap.md from numbers that groundup's own code gives.

    pip install matplotlib                                 # not a dependency of groundup
    python docs/pictures/make.py                           # all that need nothing else
    python docs/pictures/make.py positions activations     # some
    python docs/pictures/make.py ranking pipeline --summary groundup-store/runs/NAME/summary.json

`sampling` and `similarity` need the two packaged models of `make demo`; `ranking` and `pipeline` show what one run
measured. Seeds are fixed: the same versions on the same Python give the same bytes, but for `sampling`, whose last
digits follow the number of threads.
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
import torch

from groundup.nn.activations import ACTIVATIONS
from groundup.nn.config import TransformerConfig, decoder_config
from groundup.nn.feedforward import FeedForward
from groundup.nn.losses import summed_cross_entropy
from groundup.nn.positions import alibi_slopes, rope_table, rotate
from groundup.nn.transformer import Transformer

HERE = Path(__file__).parent
BLUE, ORANGE, GREEN, RED, GREY = "#2f6db5", "#d9822b", "#3a8f5c", "#b8433f", "#6b7280"
INK = "#1f2937"
STYLE = {
    "svg.hashsalt": "groundup",
    "svg.fonttype": "none",  # text stays text: small files, and it can be searched
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#c5cad3",
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "figure.facecolor": "white",  # a white card, read on a dark page too
}


def save(figure: Any, name: str) -> None:
    figure.savefig(HERE / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def positions() -> None:
    """What a query 63 positions in sees of the keys before it, by ALiBi's bias and by RoPE's turning."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    distance = np.arange(64)
    for slope, colour in zip(alibi_slopes(8)[::2].tolist(), (RED, ORANGE, GREEN, BLUE), strict=True):
        left.plot(distance, -slope * distance, color=colour)
        if slope * 63 < 22:
            left.annotate(f"{slope:.3g}", (63, -slope * 63), (4, -3), textcoords="offset points", color=colour)
    left.set(title="ALiBi: added to the score, by head (slope at the end)", xlabel="distance from query to key")
    left.set(ylabel="bias", ylim=(-22, 1), xlim=(0, 63))
    left.annotate("0.5 leaves the picture", (40, -20.8), color=RED, fontsize=9, ha="right")
    head = torch.ones(1, 256, 1, 64) / 8  # one query and one key that agree in every dimension: score 1 at distance 0
    for theta, colour in ((10_000.0, BLUE), (1_000_000.0, ORANGE)):
        turned = rotate(head, rope_table(torch.arange(256), 64, theta, torch.float32))[0, :, 0]
        right.plot(np.arange(256), (turned @ turned[0]).numpy(), color=colour, label=f"theta {theta:,.0f}")
    right.set(title="RoPE: score of a key like the query", xlabel="distance from query to key", ylabel="score")
    right.legend()
    save(figure, "positions")


def gradients() -> None:
    """Gradient norm by layer of untrained networks of 24 layers, from one backward pass over the same tokens."""
    layers, width, vocabulary = 24, 128, 512
    tokens = torch.randint(0, vocabulary, (4, 65), generator=torch.Generator().manual_seed(0))
    figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained")
    lines: list[tuple[str, str, list[float]]] = []
    for placement, colour in (("pre", BLUE), ("post", ORANGE)):
        config = decoder_config(vocabulary, width, layers, head_dim=32, norm_placement=placement)
        model = Transformer(config)
        nats, count = summed_cross_entropy(model, model(tokens[:, :-1]), tokens[:, 1:])
        (nats / count).backward()
        norms = [float(block.attention.v.weight.grad.norm()) for block in model.blocks]
        lines.append((f"transformer, {placement}-norm", colour, norms))
    for activation, times, colour in (("relu", 1.0, GREY), ("relu", 3.0, GREEN), ("sigmoid", 1.0, RED)):
        larger = f", weights × {times:.0f}" if times > 1 else ""
        lines.append((f"plain {activation} layers{larger}", colour, _plain_stack(activation, layers, times)))
    for label, colour, norms in lines:
        axes.semilogy(range(1, layers + 1), norms, color=colour, marker="o", markersize=3, label=label)
    axes.set(title="Gradient norm at initialisation, 24 layers", xlabel="layer (1 is next to the input)")
    axes.set(ylabel="norm, log scale")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, "gradients")


def _plain_stack(activation: str, layers: int, times: float) -> list[float]:
    """Gradient norms of `layers` feed-forward layers, one on the other: no residuals, no norms.

    times: on the weights, drawn with std 1/sqrt(inputs). Without norms every layer scales its gradient by as much.
    """
    config = TransformerConfig(8, 128, 1, 1, 1, 128, 128, 8, activation=activation, gated=False)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    stack = [FeedForward(config) for _ in range(layers)]
    for layer in stack:
        for weight in layer.parameters():
            torch.nn.init.normal_(weight, std=times * weight.shape[1] ** -0.5, generator=generator)
    x = torch.randn(256, 128, generator=generator)
    for layer in stack:
        x = layer(x)
    x.mean().backward()  # a loss whose own gradient is the same however large x has become
    return [float(layer.up.weight.grad.norm()) for layer in stack]


def activations() -> None:
    """Each activation and its derivative, the latter by autograd."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharex=True)
    colours = {"relu": GREY, "sigmoid": RED, "gelu": BLUE, "silu": ORANGE, "relu2": GREEN}
    for name, colour in colours.items():
        x = torch.linspace(-4, 4, 161, requires_grad=True)
        y = ACTIVATIONS[name](x)
        y.sum().backward()
        left.plot(x.detach(), y.detach(), color=colour, label=name)
        right.plot(x.detach(), x.grad, color=colour, label=name)
    left.set(title="activation", ylim=(-0.6, 4), xlabel="x")
    right.set(title="its derivative: what backpropagation multiplies by", ylim=(-0.25, 2.1), xlabel="x")
    left.legend()
    save(figure, "activations")


def sampling() -> None:
    """The next token of the brought model after one prompt, under the filters of generation/logits.py."""
    from groundup.generation import logits as filters
    from groundup.interop.base import load_base

    base = load_base("smollm2")
    prompt = "The best thing about the garden in spring is the"
    with torch.inference_mode():
        ids = torch.tensor([base.tokenizer.encode(prompt)])
        raw = base.model.logits(base.model(ids)[0, -1]).double().numpy()
    likeliest = np.argsort(-raw)[:12]
    names = [base.tokenizer.decode([int(token)]).strip() for token in likeliest]
    columns = (
        ("temperature 1", raw),
        ("temperature 0.5", filters.temperature(raw, 0.5)),
        ("temperature 1.5", filters.temperature(raw, 1.5)),
        ("top-k 5", filters.top_k(raw, 5)),
        ("nucleus 0.5", filters.top_p(raw, 0.5)),
        ("min-p 0.2", filters.min_p(raw, 0.2)),
    )
    figure, rows = plt.subplots(1, len(columns), figsize=(9, 3.4), layout="constrained", sharey=True)
    for axes, (title, changed) in zip(rows, columns, strict=True):
        shares = filters.softmax(changed)
        kept = int(np.count_nonzero(shares > 0))
        axes.barh(range(12), shares[likeliest], color=BLUE if len(raw) == kept else ORANGE)
        axes.set(title=title, xlim=(0, 0.28), xticks=(0, 0.2), xticklabels=("0", "20 %"))
        axes.set(xlabel="all kept" if kept == len(raw) else f"{kept} kept")
        axes.tick_params(axis="y", length=0)
    rows[0].set(yticks=range(12), yticklabels=names)
    rows[0].invert_yaxis()
    figure.suptitle(f"“{prompt} …”: the twelve likeliest next tokens of SmolLM2-135M", x=0.01, ha="left", fontsize=10.5)
    save(figure, "sampling")


FUNNEL_SOURCES = (
    *("ctypes", "email", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "turtledemo"),
    *("test/audiodata", "test/cjkencodings", "test/data", "test/decimaltestdata", "test/encoded_modules"),
    *("test/test_email", "test/test_tools", "test/xmltestdata"),
)


def funnel() -> None:
    """What cleaning does to a part of the standard library with odd test data and two wheels in it."""
    from groundup.corpus.dedup import deduplicate
    from groundup.corpus.funnel import Funnel
    from groundup.corpus.policy import CorpusPolicy

    documents, events, files = _stdlib(*FUNNEL_SOURCES)
    result = deduplicate(documents, CorpusPolicy())
    rows = Funnel([*events, *result.events]).summary()
    filtered = sum(row.documents for row in rows if row.stage == "filter")
    bars = [("files", files, GREY)]
    bars += [(f"read: {row.rule}", row.documents, ORANGE) for row in rows if row.stage == "read"]
    bars += [("documents", len(documents) + filtered, GREY)]
    bars += [(f"changed: {row.rule}", row.documents, GREEN) for row in rows if row.action == "changed"]
    bars += [(f"{row.stage}: {row.rule}", row.documents, RED) for row in rows if row.action == "removed"]
    bars += [("documents kept", len(result.documents), BLUE)]
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.25 * len(bars)), layout="constrained")
    drawn = axes.barh([label for label, _, _ in bars], [n for _, n, _ in bars], color=[colour for _, _, colour in bars])
    axes.bar_label(drawn, [f"{n:,}" for _, n, _ in bars], padding=3, color=INK)
    axes.invert_yaxis()
    axes.set(title="Through the funnel: documents by what happened to them (log scale)", xscale="log", xlim=(0.6, 4000))
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.legend(
        [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (ORANGE, GREEN, RED)],
        ["not read", "changed", "removed"],
        loc="center right",
        bbox_to_anchor=(1, 0.3),
    )
    save(figure, "funnel")


def _stdlib(*packages: str) -> tuple[list[Any], list[Any], int]:
    """(clean documents, events, number of files) of packages of the standard library."""
    from groundup.corpus.ingest import ingest
    from groundup.corpus.policy import CorpusPolicy
    from groundup.corpus.sources import discover
    from groundup.progress import silent

    root = Path(sysconfig.get_path("stdlib"))
    listing = discover([root / package for package in packages if (root / package).exists()])
    with tempfile.TemporaryDirectory() as folder:
        result = ingest(listing.files, CorpusPolicy(), Path(folder) / "cache.sqlite", 1, silent)
    return result.documents, [*listing.events, *result.events], len(listing.files)


SENTENCES = (
    "The cat sleeps on the warm roof.",
    "A kitten naps in the sun.",
    "Parse a date from a string.",
    "Convert text into a datetime object.",
    "The stock market fell sharply today.",
    "Share prices dropped this afternoon.",
    "How do I bake bread without yeast?",
    "A recipe for soda bread.",
)


def similarity() -> None:
    """Cosines between eight sentences: four pairs that share a meaning and hardly a word."""
    from groundup.interop.encoders import load_encoder

    vectors = load_encoder("minilm").encode(list(SENTENCES))
    cosines = vectors @ vectors.T
    figure, axes = plt.subplots(figsize=(9, 3.8), layout="constrained")
    axes.imshow(cosines, cmap="Blues", vmin=-0.1, vmax=1, interpolation="none")
    for row, column in np.ndindex(cosines.shape):
        value = cosines[row, column]
        colour = "white" if value > 0.55 else INK
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8.5, color=colour)
    axes.set(yticks=range(8), yticklabels=SENTENCES, xticks=range(8), xticklabels=range(1, 9))
    axes.set_yticklabels([f"{sentence}  {number}" for number, sentence in enumerate(SENTENCES, 1)])
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_title("cosine of MiniLM's vectors")
    save(figure, "similarity")


def ranking(summary: Path) -> None:
    """nDCG@10 and recall@100 of each search system in one run's verdict, on questions made from its corpus."""
    run = json.loads(summary.read_text(encoding="utf-8"))
    table = next(table for table in run["verdicts"] if table["id"] == "search")
    names = [row["name"] for row in table["rows"]]
    figure, panels = plt.subplots(1, 2, figsize=(9, 0.9 + 0.36 * len(names)), layout="constrained", sharey=True)
    for axes, column in zip(panels, table["columns"], strict=False):
        estimates = [row["values"][column] for row in table["rows"]]
        value = np.array([e["value"] for e in estimates])
        reach = np.array([[e["value"] - e["low"] for e in estimates], [e["high"] - e["value"] for e in estimates]])
        axes.errorbar(value, range(len(value)), xerr=reach, fmt="o", color=BLUE, ecolor=GREY, capsize=3)
        for y, e in enumerate(estimates):
            axes.annotate(f"{e['value']:.2f}", (e["value"], y), (0, 6), textcoords="offset points", ha="center")
        axes.set(title=f"{column.removeprefix('your corpus ')}, {estimates[0]['n']} questions", xlim=(0, 1.03))
        axes.grid(axis="x", color="#e5e7eb")
    panels[0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.9))
    save(figure, "ranking")


def pipeline(summary: Path) -> None:
    """Seconds of each step of one run."""
    run = json.loads(summary.read_text(encoding="utf-8"))
    steps = [step for step in run["steps"] if step.get("seconds")]
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.24 * len(steps)), layout="constrained")
    bars = axes.barh([step["name"] for step in steps], [step["seconds"] for step in steps], color=BLUE)
    axes.bar_label(bars, [f"{step['seconds']:,.1f} s" for step in steps], padding=3, color=INK)
    axes.invert_yaxis()
    axes.set(title=f"One run, {run['seconds'] / 60:.0f} minutes in all, step by step")
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.12)
    save(figure, "pipeline")


MEASURED_HERE: dict[str, Callable[[], None]] = {
    "positions": positions,
    "gradients": gradients,
    "activations": activations,
    "sampling": sampling,
    "funnel": funnel,
    "similarity": similarity,
}
OF_A_RUN: dict[str, Callable[[Path], None]] = {"ranking": ranking, "pipeline": pipeline}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help=", ".join([*MEASURED_HERE, *OF_A_RUN]))
    parser.add_argument("--summary", type=Path, help=f"summary.json of a run, for {' and '.join(OF_A_RUN)}")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.pictures) - {*MEASURED_HERE, *OF_A_RUN}):
        parser.error(f"no such picture: {', '.join(unknown)}")
    if chosen.summary is None and set(chosen.pictures) & set(OF_A_RUN):
        parser.error(f"{' and '.join(OF_A_RUN)} need --summary")
    for name in chosen.pictures or [*MEASURED_HERE, *(OF_A_RUN if chosen.summary else [])]:
        with plt.rc_context(STYLE):
            if name in OF_A_RUN:
                OF_A_RUN[name](chosen.summary)
            else:
                MEASURED_HERE[name]()
        sys.stdout.write(f"{HERE / name}.svg\n")


if __name__ == "__main__":
    main()
