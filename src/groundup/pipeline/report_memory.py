"""The report's part on memory: what it brings each decoder, and where, by the length of the match before a token."""

from __future__ import annotations

from collections.abc import Sequence

from groundup.evaluation.bands import Band, total
from groundup.evaluation.memory_verdict import MemoryVerdict
from groundup.evaluation.verdict import format_value
from groundup.pipeline.pictures import escape, groups, svg
from groundup.pipeline.tables import table

WAYS = (("decoder alone", "cached"), ("memory alone", "memory"), ("mixture", ""))  # with their colours
CAPTION = (
    "Before each token, memory looks up the longest run of tokens just before it that stands in the training documents "
    "too: the match. The longer it is, the more memory knows of what follows. Memory decides a token where its part of "
    "the mixture is larger than the decoder's. It makes a token worse where the mixture gives it a smaller probability "
    "than the decoder alone, most often by little: the last two columns say how many bits it saves on the tokens that "
    "get better, and how many it costs on the others. Decoder, memory and mixture are in bits per byte; decides and "
    "worse are shares of the tokens."
)


def memory(verdicts: Sequence[MemoryVerdict], completes: str) -> str:
    """A card for each decoder. completes: what the release completes with, by its policies."""
    if not verdicts:
        return ""
    served = f"<p><b>{escape(completes)}</b> completes, by the release's policy.</p>" if completes else ""
    caption = f'<p class="soft small">{CAPTION}</p>' if any(_measured(verdict) for verdict in verdicts) else ""
    return served + caption + "".join(_card(verdict) for verdict in verdicts)


def _card(verdict: MemoryVerdict) -> str:
    parts = "".join(_column(column, bands) for column, bands in _measured(verdict))
    return (
        f'<section class="card"><h3>{escape(verdict.decoder)}</h3>'
        f'<p class="sentence">{escape(verdict.sentence)}</p>{parts}</section>'
    )


def _measured(verdict: MemoryVerdict) -> list[tuple[str, list[Band]]]:
    """By column the bands in which something was measured."""
    found = [(column, [band for band in bands if band.text_bytes]) for column, bands in verdict.bands.items()]
    return [(column, bands) for column, bands in found if bands]


def _column(column: str, bands: Sequence[Band]) -> str:
    """The picture and the table of one set of held-out texts."""
    bars = [
        (_length(band), [(kind, bits / band.text_bytes) for (_, kind), bits in zip(WAYS, _bits(band), strict=True)])
        for band in bands
    ]
    keys = "".join(f"<span>{_swatch(kind)}{name}</span>" for name, kind in WAYS)
    names = ["Match in tokens", "Tokens", "Bytes", "Decoder", "Memory", "Mixture", "Decides", "Worse", "Saved", "Cost"]
    rows = [_row(_length(band), band) for band in bands] + [_row("all", total(bands))]
    said = "bits per byte against the match's length in tokens"
    return (
        f'<h4>{escape(column)}</h4><div class="legend">{keys}<span>{said}</span></div>{groups(bars, said)}'
        f"{table(names, rows, 'bands')}"
    )


def _swatch(kind: str) -> str:
    return svg("swatch", 10, f'<rect class="fill {kind}" width="100%" height="10" rx="2"/>')


def _row(name: str, band: Band) -> list[tuple[str, str]]:
    per_byte = [format_value(bits / band.text_bytes) for bits in _bits(band)]
    shares = [f"{100 * count / band.tokens:.0f} %" for count in (band.decided, band.worse)]
    figures = [f"{band.tokens:,}", f"{band.text_bytes:,}", *per_byte, *shares]
    figures += [f"{band.saved_bits:,.0f}", f"{band.cost_bits:,.0f}"]
    return [("head", name), *(("number", figure) for figure in figures)]


def _bits(band: Band) -> tuple[float, float, float]:
    return band.decoder_bits, band.memory_bits, band.mixed_bits


def _length(band: Band) -> str:
    return f"{band.low}+" if band.high is None else f"{band.low}–{band.high}"
