"""The page of an inspection: one HTML file that needs nothing beside it and asks nothing of any network.

Style, script and numbers stand inside. Its policy lets this one script run, by hash, and nothing load: names and texts
come from anybody's model.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files

import jinja2
import numpy as np

from groundup.inspection.charts import Curve, chart
from groundup.inspection.figures import figure
from groundup.inspection.health import activation_words, gradient_words, pooled_words
from groundup.inspection.reading import visible
from groundup.inspection.record import Inspection

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
GROUP_KINDS = {"attention": "one", "feed-forward": "two", "norms": "four"}


def render(inspection: Inspection) -> str:
    """The whole page; the same inspection gives the same bytes."""
    script = _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = figure
    data = json.dumps(inspection.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    gradients = inspection.gradients
    return environment.from_string(_resource("page.html")).render(
        found=inspection,
        name=visible(inspection.name),
        text=visible(inspection.text),
        second="" if inspection.compared is None else visible(inspection.compared.text),
        layers=inspection.attention.shape[0],
        heads=inspection.attention.shape[1],
        policy=f"{POLICY}; script-src 'sha256-{digest}'",
        style=_resource("page.css"),
        script=script,
        data=data.replace("<", "\\u003c"),  # so that no text can end the element it stands in
        activations=_activations(inspection),
        activation_words=activation_words(inspection),
        pooled_words=pooled_words(inspection),
        lens=_lens(inspection),
        gradients=_gradients(inspection),
        stream_gradients=_stream_gradients(inspection),
        verdict=gradient_words(gradients) if gradients is not None else None,
    )


def _resource(name: str) -> str:
    return files("groundup.inspection").joinpath(name).read_text(encoding="utf-8")


def _activations(inspection: Inspection) -> str:
    norms = inspection.norms
    curves = [
        Curve("stream, median", "one", np.median(norms.stream, axis=1).tolist(), -1),
        Curve("stream, longest", "one most", norms.stream.max(axis=1).tolist(), -1),
        Curve("added by attention, median", "two", np.median(norms.attention, axis=1).tolist()),
        Curve("added by feed-forward, median", "three", np.median(norms.ffn, axis=1).tolist()),
    ]
    return chart(curves, "length of the vectors by layer", log=True)


def _lens(inspection: Inspection) -> str:
    if inspection.lens is None:
        return ""
    bits = (-inspection.lens.truth).mean(axis=1).tolist()
    return chart([Curve("mean bits for the true token", "one", bits, -1)], "bits by layer", log=True)


def _gradients(inspection: Inspection) -> str:
    if inspection.gradients is None:
        return ""
    groups = inspection.gradients.groups
    curves = [Curve(name, GROUP_KINDS[name], norms.tolist()) for name, norms in groups.items()]
    return chart(curves, "gradient of each layer's parameters", log=True)


def _stream_gradients(inspection: Inspection) -> str:
    if inspection.gradients is None:
        return ""
    curve = Curve("with respect to the stream", "three", inspection.gradients.stream.tolist(), -1)
    return chart([curve], "gradient of the stream by layer", log=True)
