"""The page: it holds exactly the numbers, needs nothing beside it, and hostile text stays text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import itertools
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.inspection.charts import Curve, chart
from groundup.inspection.health import activation_words, gradient_words
from groundup.inspection.look import inspect_model
from groundup.inspection.page import render
from groundup.inspection.record import Inspection, head_shares
from tests.inspection.models import TEXT, config, drawn, tokenizer

HOSTILE = "</script><script>alert(1)</script><img src=http://x.invalid> \u202e &amp; <|endoftext|>"


class Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def found() -> Inspection:
    return inspect_model(drawn(config()), tokenizer(), TEXT, name="small")


@pytest.fixture(scope="module")
def page(found: Inspection) -> str:
    return render(found)


def unpacked(found: Inspection) -> np.ndarray:
    """Attention as a reader of the JSON gets it back."""
    data = found.to_json()
    levels = np.frombuffer(zlib.decompress(base64.b64decode(data["attention"]["weights"])), np.uint8)
    layers, heads, T = data["layers"], data["heads"], len(data["tokens"])
    if not data["causal"]:
        return (levels.reshape(layers, heads, T, T) / 255) ** 2
    whole = np.zeros((layers, heads, T, T))
    numbers = iter(levels.tolist())
    for layer in range(layers):
        for head in range(heads):
            for query in range(T):
                for key in range(query + 1):
                    whole[layer, head, query, key] = (next(numbers) / 255) ** 2
    return whole


@pytest.mark.parametrize("causal", [True, False])
def test_attention_survives_packing(causal: bool) -> None:
    found = inspect_model(drawn(config(causal=causal)), tokenizer(), TEXT, name="small")
    # a level is at most half a step of the square root away: 2 · sqrt(w) · .5/255 + (.5/255)²
    bound = np.sqrt(found.attention) / 255 + (0.5 / 255) ** 2 + 1e-7
    assert (np.abs(unpacked(found) - found.attention) <= bound).all()


def test_page_holds_the_json(found: Inspection, page: str) -> None:
    data, script = read(page).scripts
    assert json.loads(data) == json.loads(json.dumps(found.to_json()))
    assert json.loads(data)["predictions"]["bits"] == pytest.approx(found.predictions.bits.tolist(), rel=1e-3)
    assert "JSON.parse" in script


def test_page_needs_nothing_beside_it(page: str) -> None:
    reader = read(page)
    for tag, attributes in reader.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base")
        assert not {"src", "srcset", "action", "data", "style"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", page)
    policy = next(a["content"] for tag, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(reader.scripts[1].encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_hostile_text_stays_text() -> None:
    found = inspect_model(drawn(config()), tokenizer(), HOSTILE, name="<b>x</b>\u202e")
    page = render(found)
    reader = read(page)
    assert len(reader.scripts) == 2
    assert not [tag for tag, _ in reader.tags if tag in ("img", "b")]
    assert "\u202e" not in page.replace(reader.scripts[0], "")
    assert json.loads(reader.scripts[0])["text"] == HOSTILE


def test_page_is_the_same_each_time(found: Inspection, page: str) -> None:
    assert render(found) == page


def test_numbers_that_are_not_finite_are_said() -> None:
    model = drawn(config())
    with torch.no_grad():
        model.blocks[1].ffn.up.weight[0, 0] = float("nan")
    found = inspect_model(model, tokenizer(), TEXT, name="broken")
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["norms"]["stream"][1] != data["norms"]["stream"][2] == [None] * len(found.tokens)
    assert activation_words(found).startswith("From layer 1 on, the stream holds numbers that aren't finite")
    assert found.gradients is not None
    assert gradient_words(found.gradients)[0] == "not finite"
    assert "not finite" in render(found)


def test_head_shares_are_means_over_queries(found: Inspection) -> None:
    shares = head_shares(found.attention)
    T, map_ = len(found.tokens), found.attention[1, 2]
    assert shares["first"][1, 2] == pytest.approx(sum(map_[t, 0] for t in range(1, T)) / (T - 1), rel=1e-5)
    assert shares["previous"][1, 2] == pytest.approx(sum(map_[t, t - 1] for t in range(1, T)) / (T - 1), rel=1e-5)
    assert shares["self"][1, 2] == pytest.approx(sum(map_[t, t] for t in range(1, T)) / (T - 1), rel=1e-5)


def test_one_token_has_a_page() -> None:
    found = inspect_model(drawn(config(causal=False)), tokenizer(), "z", name="one")
    assert len(found.tokens) == 1
    assert "Layers × heads" in render(found)


def test_vanishing_and_exploding_gradients_are_named() -> None:
    fading = config(layers=16, residual=False, norm_placement="post", activation="sigmoid", gated=False)
    found = inspect_model(drawn(fading), tokenizer(), TEXT, name="fading")
    assert found.gradients is not None
    verdict, sentence = gradient_words(found.gradients)
    assert verdict == "vanishing"
    assert "the first layers learn little" in sentence
    turned = dataclasses.replace(
        found.gradients, groups={name: norms[::-1] for name, norms in found.gradients.groups.items()}
    )
    assert gradient_words(turned)[0] == "exploding"
    sound = inspect_model(drawn(config()), tokenizer(), TEXT, name="sound").gradients
    assert sound is not None
    assert gradient_words(sound)[0] == "sound"


def test_larger_values_stand_higher_and_gaps_stay_gaps() -> None:
    values = [1.0, 10.0, float("nan"), 100.0, 1000.0]
    picture = chart([Curve("a < b", "one", values, -1)], "name", log=True)
    at = [(float(x), float(y)) for x, y in re.findall(r'<circle class="one" cx="([\d.]+)%" cy="([\d.]+)"', picture)]
    assert len(at) == 4
    assert [x for x, _ in at] == sorted(x for x, _ in at)
    steps = [before - after for (_, before), (_, after) in itertools.pairwise(at)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.5)  # a factor ten is the same step everywhere
    assert steps[0] > 0
    assert picture.count("<polyline") == 2
    assert "a &lt; b" in picture
    assert chart([Curve("nothing", "one", [float("nan")])], "name", log=True) == ""


def browse(page: str, folder: Path) -> str:
    """The document as a browser leaves it after running its script."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    done = subprocess.run(
        ["chromium", *flags, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         f"file://{folder / 'page.html'}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.replace("&nbsp;", " ")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_a_browser_draws_every_part(found: Inspection, tmp_path: Path) -> None:
    drawn_page = browse(render(found), tmp_path)
    assert drawn_page.count("<canvas") == 3 * 4 + 1
    assert "Layer 0, head 0</h3>" in drawn_page
    cells = drawn_page.split('id="lens-table"')[1].split("</table>")[0].count("<td")
    assert cells == 4 * len(found.answers)
    # what the script says of the chosen token's row is what was recorded, through packing and unpacking
    assert found.predictions is not None
    query = found.answers[int(found.predictions.bits.argmax())]
    row = found.attention[0, 0, query]
    said = drawn_page.split('id="map-read"')[1].split("</p>")[0]
    strongest = float(re.search(r"</span> ([\d.]+)\s%", said).group(1))  # type: ignore[union-attr]
    assert strongest == pytest.approx(100 * float(row.max()), abs=1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_a_browser_writes_percentages_as_people_do(found: Inspection, tmp_path: Path) -> None:
    assert found.predictions is not None
    top = np.tile([1.0, 0.5, 0.031, 0.0015, 0.0003, 0.00002, 1e-9], (len(found.answers), 1))
    ids = np.tile(found.tokens[:7], (len(found.answers), 1))
    changed = dataclasses.replace(found, predictions=dataclasses.replace(found.predictions, top=top, top_ids=ids))
    drawn_page = browse(render(changed), tmp_path)
    guesses = drawn_page.split('id="chosen"')[1].split('id="lens"')[0]
    written = re.findall(r'class="number">([^<]*)<', guesses)
    assert written[:7] == ["100 %", "50 %", "3.1 %", "0.15 %", "0.03 %", "0.002 %", "&lt; 0.001 %"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_a_browser_draws_an_encoders_vector_beside_a_second_text(tmp_path: Path) -> None:
    model = drawn(config(causal=False))
    found = inspect_model(model, tokenizer(), TEXT, name="encoder", pooling="mean", beside="a cat looked at the mat")
    drawn_page = browse(render(found), tmp_path)
    assert found.pooled is not None
    assert found.compared is not None
    share, parts = found.pooled.share, found.compared.parts
    assert share is not None
    assert parts is not None
    token = int(share.argmax())

    def inner(name: str) -> str:
        return drawn_page.split(f'id="{name}"')[1].split("</div>")[0]

    assert inner("vector-flow").count("<span") == inner("first-flow").count("<span") == len(found.tokens)
    assert inner("second-flow").count("<span") == len(found.compared.tokens)
    said = re.search(r": ([\d.]+)\s% of the vector", drawn_page)
    assert said is not None
    assert float(said[1]) == pytest.approx(100 * share[token], abs=0.5)
    part = re.search(r"Its part in the similarity: (−?[\d.]+) of (−?[\d.]+)", drawn_page)
    assert part is not None
    assert float(part[1].replace("−", "-")) == pytest.approx(parts[token].sum(), abs=2e-3)
    assert float(part[2].replace("−", "-")) == pytest.approx(found.compared.similarity, abs=6e-4)
