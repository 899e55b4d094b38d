"""Whether numbers stay in bounds through the layers, in a sentence."""

from __future__ import annotations

import numpy as np

from groundup.inspection.figures import figure
from groundup.inspection.record import Float, Gradients, Inspection

# By how much the first layer's weights may get less or more gradient than the last layer's. Not studied: SmolLM2 and
# fresh models of 24 layers lie within 30, 24 sigmoid layers without a residual stream at 1e-10.
FAR = 100.0


def layer_gradients(gradients: Gradients) -> Float:
    """(L,) ‖∂loss/∂weights‖₂ of each whole layer."""
    squares: Float = np.sum([norms**2 for norms in gradients.groups.values()], axis=0)
    return np.sqrt(squares)


def gradient_words(gradients: Gradients) -> tuple[str, str]:
    """(verdict, sentence): "sound", "vanishing", "exploding" or "not finite"."""
    layers = layer_gradients(gradients)
    bad = [layer for layer, norm in enumerate(layers) if not np.isfinite(norm)]
    if bad:
        return (
            "not finite",
            f"The gradients of {len(bad)} of {len(layers)} layers aren't finite, up to layer {bad[-1]}'s.",
        )
    first, last = float(layers[0]), float(layers[-1])
    if first == last == 0:
        return "vanishing", "No gradient reaches any layer."
    ratio = first / last if last else float("inf")
    verdict = "vanishing" if ratio < 1 / FAR else "exploding" if ratio > FAR else "sound"
    said = f"The first layer's weights get {figure(ratio, 2)} times the gradient of the last layer's"
    meant = {
        "vanishing": f"less than one in {FAR:g}: it vanishes on its way back, and the first layers learn little",
        "exploding": f"more than {FAR:g} times: it explodes on its way back, and steps will overshoot",
        "sound": f"between one in {FAR:g} and {FAR:g}: it neither vanishes nor explodes",
    }[verdict]
    return verdict, f"{said}, {meant}."


def activation_words(inspection: Inspection) -> str:
    """How the stream grows, whether a few positions tower above the rest, and where numbers end."""
    stream = inspection.norms.stream
    bad = [row for row in range(len(stream)) if not np.isfinite(stream[row]).all()]
    if bad:
        where = f"From layer {bad[0] - 1} on" if bad[0] else "From the embedding on"
        return f"{where}, the stream holds numbers that aren't finite: what follows means nothing."
    middle = np.median(stream, axis=1)
    said = f"The stream's median length goes from {figure(middle[0])} to {figure(middle[-1])}."
    ratio = stream.max(axis=1) / np.maximum(middle, 1e-30)
    row = int(ratio.argmax())
    if ratio[row] > 10:  # massive activations (Sun et al. 2024) are 100 to 10,000 times the median
        token = inspection.labels[inspection.tokens[int(stream[row].argmax())]].strip() or "␣"
        said += f" One position, “{token}”, is {ratio[row]:,.0f} times as long as the median at its peak"
        said += f" ({f'layer {row - 1}' if row else 'the embedding'}): such tokens serve attention as a place to rest."
    return said


def pooled_words(inspection: Inspection) -> str:
    """Whether a few tokens make most of the vector; "" where it isn't a mean."""
    share = None if inspection.pooled is None else inspection.pooled.share
    if share is None or not np.isfinite(share).all():
        return ""
    order = np.argsort(-share, kind="stable")
    most = int(np.searchsorted(np.cumsum(share[order]), 0.5)) + 1
    name = inspection.labels[inspection.tokens[int(order[0])]].strip() or "␣"
    said = f"Half of the vector comes from {most} of {len(share)} tokens" if len(share) > 1 else "It has one token"
    return f"{said}, the most from “{name}”." if len(share) > 1 else f"{said}."
