"""Draws the pictures of docs/roadmap.md from numbers that groundup's own code gives.

    pip install matplotlib                                 # not a dependency of groundup
    python docs/pictures/make.py                           # all that need nothing else
    python docs/pictures/make.py positions activations     # some
    python docs/pictures/make.py pipeline --summary groundup-store/runs/NAME/summary.json

`sampling`, `similarity` and `ranking` need the two packaged models of `make demo`. Seeds are fixed: the same versions
give the same bytes, but for `pipeline` and for figures over the standard library, which follow what is measured.
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
        left.annotate(f"{slope:.3g}", (63, -slope * 63), (4, -3), textcoords="offset points", color=colour, fontsize=9)
    left.set(title="ALiBi: added to the score, by head (slope at the end)", xlabel="distance from query to key")
    left.set(ylabel="bias", ylim=(-22, 1), xlim=(0, 63))
    left.annotate("0.5 leaves the picture", (41, -20.8), color=RED, fontsize=9, ha="right")
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
    for activation, colour in (("relu", GREY), ("sigmoid", RED)):
        lines.append((f"plain layers, {activation}, no residual, no norm", colour, _plain_stack(activation, layers)))
    for label, colour, norms in lines:
        axes.semilogy(range(1, layers + 1), norms, color=colour, marker="o", markersize=3, label=label)
    axes.set(title="Gradient norm at initialisation, 24 layers", xlabel="layer (1 is next to the input)")
    axes.set(ylabel="norm, log scale")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, "gradients")


def _plain_stack(activation: str, layers: int) -> list[float]:
    """Gradient norms of the first matrix of each of `layers` feed-forward layers, one on the other, nothing between."""
    config = TransformerConfig(8, 128, 1, 1, 1, 128, 128, 8, activation=activation, gated=False)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    stack = [FeedForward(config) for _ in range(layers)]
    for layer in stack:
        for weight in layer.parameters():
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)
    x = torch.randn(256, 128, generator=generator)
    for layer in stack:
        x = layer(x)
    torch.nn.functional.cross_entropy(x, torch.arange(256) % 128).backward()
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
        ("nucleus 0.3", filters.top_p(raw, 0.3)),
        ("min-p 0.2", filters.min_p(raw, 0.2)),
    )
    figure, rows = plt.subplots(1, len(columns), figsize=(9, 3.4), layout="constrained", sharey=True)
    for axes, (title, changed) in zip(rows, columns, strict=True):
        shares = filters.softmax(changed)
        kept = int(np.count_nonzero(shares > 0))
        axes.barh(range(12), shares[likeliest], color=BLUE if len(raw) == kept else ORANGE)
        axes.set(title=title, xlabel=f"{kept:,} tokens kept", xlim=(0, 0.5), yticks=range(12), yticklabels=names)
        axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, 0))
    rows[0].invert_yaxis()
    figure.suptitle(f"“{prompt} …”: the twelve likeliest next tokens of {base.name}", x=0.01, ha="left", fontsize=10.5)
    save(figure, "sampling")


def funnel() -> None:
    """What cleaning does to some packages of the standard library, tests and all."""
    from groundup.corpus.funnel import Funnel
    from groundup.corpus.policy import CorpusPolicy

    documents, events, files = _stdlib("encodings", "lib2to3", "idlelib", "pydoc_data", "email", "ctypes")
    policy = CorpusPolicy()
    from groundup.corpus.dedup import deduplicate

    result = deduplicate(documents, policy)
    rows = [row for row in Funnel([*events, *result.events]).summary() if row.stage != "budget"]
    labels = [("files found", files, GREY)]
    for row in rows:
        colour = ORANGE if row.action == "changed" else RED
        labels.append((f"{row.stage}: {row.rule} ({row.action})", row.documents, colour))
    labels.append(("documents kept", len(result.documents), BLUE))
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.3 * len(labels)), layout="constrained")
    bars = axes.barh([label for label, _, _ in labels], [n for _, n, _ in labels], color=[c for _, _, c in labels])
    axes.bar_label(bars, padding=3, color=INK)
    axes.invert_yaxis()
    axes.set(title="Six packages of Python's standard library through the funnel, in documents", xticks=[])
    axes.spines["bottom"].set_visible(False)
    save(figure, "funnel")


def _stdlib(*packages: str) -> tuple[list[Any], list[Any], int]:
    """(clean documents, events, number of files) of packages of the standard library."""
    from groundup.corpus.ingest import ingest
    from groundup.corpus.policy import CorpusPolicy
    from groundup.corpus.sources import discover
    from groundup.progress import silent

    root = Path(sysconfig.get_path("stdlib"))
    listing = discover([root / package for package in packages])
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


def ranking() -> None:
    """nDCG@10 of each system: functions of the standard library by their docstrings, and Cranfield if it is there."""
    from groundup.evaluation.beir import read_beir
    from groundup.evaluation.known_items import known_items
    from groundup.evaluation.search_verdict import index_collection, search_verdict
    from groundup.interop.encoders import load_encoder

    encoder = load_encoder("minilm")
    documents, _, _ = _stdlib("json", "email", "asyncio", "http", "importlib", "unittest", "xml", "concurrent")
    collections = [known_items(documents, [], seed=0, queries=400, name="docstrings of the standard library")]
    cranfield = HERE.parents[2] / "shared" / "data" / "retrieval" / "cranfield"
    if cranfield.exists():
        collections.append(read_beir(cranfield))
    with tempfile.TemporaryDirectory() as folder:
        measured = [(each, index_collection(each, Path(folder) / str(i), [encoder])) for i, each in enumerate(collections)]
        table = search_verdict(measured, [encoder], seed=0).table
    columns = [column for column in table.columns if "nDCG" in column]
    figure, panels = plt.subplots(1, len(columns), figsize=(9, 2.8), layout="constrained", sharey=True, squeeze=False)
    for axes, column in zip(panels[0], columns, strict=True):
        estimates = [row.values[column] for row in table.rows]
        value = np.array([e.value for e in estimates])
        reach = np.array([[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]])
        axes.errorbar(value, range(len(value)), xerr=reach, fmt="o", color=BLUE, ecolor=GREY, capsize=3)
        for y, e in enumerate(estimates):
            axes.annotate(f"{e.value:.2f}", (e.value, y), (0, 7), textcoords="offset points", ha="center", fontsize=9)
        axes.set(title=f"{column} ({estimates[0].n} questions)", yticks=range(len(value)))
        axes.set(yticklabels=[row.name for row in table.rows], ylim=(len(value) - 0.4, -0.7))
        axes.grid(axis="x", color="#e5e7eb")
    save(figure, "ranking")


def pipeline(summary: Path) -> None:
    """Seconds of each step of one run."""
    run = json.loads(summary.read_text(encoding="utf-8"))
    steps = [step for step in run["steps"] if step.get("seconds")]
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.27 * len(steps)), layout="constrained")
    bars = axes.barh([step["name"] for step in steps], [step["seconds"] for step in steps], color=BLUE)
    axes.bar_label(bars, [f"{step['seconds']:,.1f} s" for step in steps], padding=3, color=INK)
    axes.invert_yaxis()
    axes.set(title="One run of `make demo`, step by step", xticks=[])
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.12)
    save(figure, "pipeline")


PICTURES: dict[str, Callable[[], None]] = {
    "positions": positions,
    "gradients": gradients,
    "activations": activations,
    "sampling": sampling,
    "funnel": funnel,
    "similarity": similarity,
    "ranking": ranking,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help=", ".join([*PICTURES, "pipeline"]))
    parser.add_argument("--summary", type=Path, help="summary.json of a run, for `pipeline`")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.pictures) - {*PICTURES, "pipeline"}):
        parser.error(f"no such picture: {', '.join(unknown)}")
    if "pipeline" in chosen.pictures and chosen.summary is None:
        parser.error("`pipeline` needs --summary")
    for name in chosen.pictures or [*PICTURES, *(["pipeline"] if chosen.summary else [])]:
        with plt.rc_context(STYLE):
            pipeline(chosen.summary) if name == "pipeline" else PICTURES[name]()
        sys.stdout.write(f"{HERE / name}.svg\n")


if __name__ == "__main__":
    main()
