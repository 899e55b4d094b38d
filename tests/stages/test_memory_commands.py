"""`groundup memory info` and `rebuild`, and what a recipe leaves out of memory or of search, on a finished run."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from groundup.cli import app
from groundup.errors import ReleaseError, RequestError, StoreBusyError, StoreError
from groundup.infinigram.store import MemoryStore
from groundup.pipeline.store import Store
from groundup.progress import open_sink
from groundup.registry import champion
from groundup.retrieval.index import IndexStore
from groundup.stages.index import unsearched_file
from groundup.stages.live_memory import decoder_tokenizer
from groundup.stages.loaded import load
from groundup.stages.outcome import Outcome
from groundup.stages.run import run_pipeline
from groundup.stages.score import score_lines
from groundup.stages.use import search_index
from tests.stages.conftest import Finished, small_recipe

pytestmark = pytest.mark.slow
DECODER = "from-scratch"


@dataclass(frozen=True)
class Site:
    """A store to change, of a run whose sources nobody changes."""

    sources: Path
    store: Path

    @property
    def run(self) -> str:
        return str(champion.require(Store(self.store)).policies["index"])

    @property
    def completes(self) -> bool:
        return bool(champion.require(Store(self.store)).policies["memory"][DECODER]["completes"])

    @property
    def memory(self) -> MemoryStore:
        return MemoryStore(self.store / "memory" / self.run / DECODER)

    @property
    def live(self) -> Path:
        return self.store / "runs" / self.run / "live.json"

    @property
    def texts(self) -> dict[str, tuple[str, str]]:
        """Path and text of the index' documents by id."""
        index = IndexStore(self.store / "index" / self.run).open()
        found = {name: index.document(name) for name in index.columns.document_ids}
        return {name: (one[1], one[2]) for name, one in found.items() if one is not None}

    def base_file(self, name: str) -> Path:
        current = json.loads((self.memory.root / "current.json").read_text())
        return self.memory.root / "segments" / str(current["base"]) / name

    def again(self, **changes: object) -> Outcome:
        with open_sink("silent") as sink:
            outcome = run_pipeline(small_recipe(self.sources, **changes), self.store, sink)
        if outcome.failure is not None:
            raise outcome.failure
        return outcome


@pytest.fixture
def site(finished: Finished, tmp_path: Path) -> Site:
    shutil.copytree(finished.store, tmp_path / "store")
    return Site(finished.sources, tmp_path / "store")


def memory(store: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["memory", *arguments, "--store", str(store)])


def info(store: Path, *arguments: str) -> dict[str, object]:
    (found,) = json.loads(memory(store, "info", "--json", *arguments).stdout)["memories"]
    return dict(found)


def refused(result: Result, error: type[StoreError | ReleaseError], said: str) -> None:
    assert result.exit_code == error.exit_code
    assert result.stdout == ""
    assert said in " ".join(result.stderr.split())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_info_says_what_encoding_all_documents_gives(site: Site) -> None:
    tokenizer = decoder_tokenizer(champion.require(Store(site.store)), DECODER)
    texts = site.texts
    said = info(site.store, "--check")
    assert said["tokens"] == sum(1 + len(tokenizer.encode(text)) for _, text in texts.values())
    assert (said["documents"], said["tokenizer"], said["decoder"]) == (len(texts), tokenizer.digest, DECODER)
    assert said["bytes"] == sum(path.stat().st_size for path in site.memory.root.glob("segments/*/*"))
    assert (said["fault"], said["mend"], said["behind"], said["checked"]) == ("", "", "", True)
    assert (said["version"], said["serial"]) == (site.memory.current, 1)
    shown = memory(site.store, "info", "--check")
    assert shown.exit_code == 0
    for line in (
        DECODER,
        "every bit is as it was written",
        "up to date with the index",
        "held-out documents, interval",
    ):
        assert line in shown.stdout
    assert "by the sizes of its files; --check reads them" in memory(site.store, "info").stdout


def test_a_flipped_bit_is_found_by_check_alone_which_fails_and_rebuild_mends_it(site: Site) -> None:
    before = contents(site.memory.root / "segments")
    for name in ("followers.bin", "tokens.bin"):
        raw = bytearray(site.base_file(name).read_bytes())
        raw[len(raw) // 2] ^= 1
        site.base_file(name).write_bytes(raw)
        assert memory(site.store, "info").exit_code == 0
        found = memory(site.store, "info", "--check")
        assert found.exit_code == 1
        assert info(site.store, "--check")["completes"] == site.completes  # it is read as it is
        assert f"{name} of {site.base_file(name).parent} is not what was written" in found.stdout
        assert "Run `groundup memory rebuild`, which sorts it anew." in found.stdout
        assert name in str(info(site.store, "--check")["fault"])
        assert memory(site.store, "rebuild").exit_code == 0
        assert memory(site.store, "info", "--check").exit_code == 0
        assert contents(site.memory.root / "segments") == before


def cut(site: Site) -> None:
    site.base_file("ends.bin").write_bytes(site.base_file("ends.bin").read_bytes()[:99])


def list_gone(site: Site) -> None:
    (site.memory.root / "current.json").unlink()


def list_broken(site: Site) -> None:
    (site.memory.root / "current.json").write_text("{")


def of_another_version(site: Site) -> None:
    manifest = site.base_file("segment.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 99}))


def of_another_tokenizer(site: Site) -> None:
    site.memory.update([], lambda names: [], tokenizer="other", vocab_size=9, separator=0)


def all_gone(site: Site) -> None:
    shutil.rmtree(site.memory.root)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "ends.bin"),
        (list_gone, "holds no memory"),
        (list_broken, "current.json is not readable"),
        (of_another_version, "is of version 99, this program reads version 1"),
        (of_another_tokenizer, "was made with another tokenizer"),
        (all_gone, "holds no memory"),
    ],
)
def test_whatever_is_damaged_is_named_and_rebuild_makes_the_same_again(
    site: Site, damage: Callable[[Site], None], said: str
) -> None:
    before = contents(site.memory.root / "segments")
    damage(site)
    shown = memory(site.store, "info")
    assert shown.exit_code == 1
    assert said in shown.stdout
    assert "Run `groundup memory rebuild`" in shown.stdout
    assert "completes  no: its fault keeps it from being opened" in shown.stdout
    assert ("once mended, yes: " in shown.stdout) == site.completes
    assert (info(site.store)["completes"], memory(site.store, "info", "--json").exit_code) == (False, 1)
    assert memory(site.store, "info", "--check").exit_code == 1
    traced = CliRunner().invoke(app, ["trace", "--store", str(site.store)], input="some words")
    scored = CliRunner().invoke(
        app, ["score", "--memory", "only", "--store", str(site.store)], input='{"text": "some words"}'
    )
    for one in (traced, scored):
        refused(one, StoreError, said)
        assert "Run `groundup memory rebuild`" in one.stderr
        assert "groundup run" not in one.stderr
    generate = ["generate", "def f(", "--max-tokens", "2", "--json", "--store", str(site.store)]
    written, off = (CliRunner().invoke(app, [*generate, "--memory", use]) for use in ("auto", "off"))
    assert off.stderr == ""
    assert ("can't be opened" in written.stderr) == site.completes
    assert json.loads(written.stdout) == json.loads(off.stdout)
    assert json.loads(written.stdout)["memory"] is False
    service = load(site.store, generators=True).service
    say = service.status().memory[DECODER].completion
    assert not say.on
    assert say.reason.startswith(f"The memory of {DECODER} can't be opened: ")
    assert said in say.reason
    assert "run `groundup memory rebuild`" in say.reason
    assert not service.traces
    made = memory(site.store, "rebuild")
    assert f"{DECODER}: sorted anew {len(site.texts):,} documents" in made.stdout
    assert contents(site.memory.root / "segments") == before
    assert info(site.store, "--check")["fault"] == ""
    assert CliRunner().invoke(app, ["trace", "--store", str(site.store)], input="some words").exit_code == 0


def test_a_rebuild_ends_in_one_line_of_json_and_the_next_run_has_nothing_to_add(site: Site) -> None:
    before = site.memory.current
    lines = memory(site.store, "rebuild", "--json").stdout.splitlines()
    (made,) = json.loads(lines[-1])["memories"]
    held = info(site.store)
    assert {field: made[field] for field in ("documents", "tokens", "bytes")} == {
        field: held[field] for field in ("documents", "tokens", "bytes")
    }
    assert made["encoded"] == 0  # the tokens that were there are sound
    site.again()
    assert site.memory.current == before


def test_without_a_store_or_a_release_it_says_so(site: Site, tmp_path: Path) -> None:
    for command in ("info", "rebuild"):
        refused(memory(tmp_path / "none", command), StoreError, "there is no store")
        (tmp_path / "empty").mkdir(exist_ok=True)
        refused(memory(tmp_path / "empty", command), ReleaseError, "groundup run")
    refused(memory(site.store, "info", "--release", "nosuch"), ReleaseError, "nosuch is no release here")


def test_beside_another_writer_rebuild_is_refused_and_info_is_not(site: Site) -> None:
    before = contents(site.memory.root)
    with Store(site.store).writing():
        found: list[Result] = []
        thread = threading.Thread(target=lambda: found.append(memory(site.store, "rebuild")))
        thread.start()
        thread.join()
    refused(found[0], StoreBusyError, "groundup")
    with open(site.memory.root / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(memory(site.store, "rebuild"), StoreBusyError, "another process is writing the memory in")
        assert memory(site.store, "info", "--check").exit_code == 0
    assert contents(site.memory.root) == before


def test_a_damaged_index_stops_a_rebuild_before_anything_is_written(site: Site) -> None:
    before = contents(site.memory.root)
    columns = [path for path in (site.store / "index").glob("*/versions/*/*") if path.name != "manifest.json"]
    column = max(columns, key=lambda path: path.stat().st_size)
    column.write_bytes(column.read_bytes()[:50])
    refused(memory(site.store, "rebuild"), StoreError, "Run `groundup run`, which builds it anew.")
    assert info(site.store)["behind"] is None
    site.again()
    site.live.write_text("{")
    refused(memory(site.store, "rebuild"), StoreError, "live.json: it doesn't say what the index holds")
    assert {name: content for name, content in contents(site.memory.root).items() if name in before} == before


def test_of_a_release_that_serves_no_more_it_names_the_one_its_memory_follows(site: Site) -> None:
    serving = champion.require(Store(site.store)).id
    old = site.store / "releases" / "0123456789ab"
    shutil.copytree(site.store / "releases" / serving, old)
    manifest = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**manifest, "id": old.name}))
    of_another_tokenizer(site)
    assert (
        f"another tokenizer. It follows the champion, release {serving}."
        in memory(site.store, "info", "--release", old.name).stdout
    )
    assert "Run `groundup memory rebuild`" in memory(site.store, "info").stdout


@pytest.mark.parametrize("mode", ["auto", "only"])
def test_texts_that_are_empty_or_longer_than_a_document_are_scored_with_memory(finished: Finished, mode: str) -> None:
    texts = ["", "x", "qqq zzz " * 2_000]
    lines = [json.dumps({"id": number, "text": text}) for number, text in enumerate(texts)]
    alone, mixed = (list(score_lines("champion", finished.store, lines, how)) for how in ("off", mode))
    assert [(one.tokens, one.bytes) for one in mixed] == [(one.tokens, one.bytes) for one in alone]
    assert mixed[0].nats == 0
    assert all(0 < one.nats < 20 * one.tokens for one in mixed[1:])


# ------------------------------------------------------------------ what is left out

GARDEN = "In the second week of November, before the ground freezes, three fingers deep and a hand apart."
LEFT_OUT = {"memory.leave_out": ("**/notes",), "search.leave_out": ("**/urllib/*.py", "nothing-of-that-name")}


def traced(store: Path, text: str) -> list[dict[str, object]]:
    line = json.dumps({"id": 1, "text": text})
    shown = CliRunner().invoke(app, ["trace", "--jsonl", "--store", str(store)], input=line)
    assert shown.exit_code == 0, shown.stderr
    return list(json.loads(shown.stdout)["spans"])


def paths_found(store: Path, query: str) -> list[str]:
    return [one.source for one in search_index(store, query, k=50, system="bm25", explain=False).found]


def test_what_one_leaves_out_the_other_may_hold_and_no_trace_shows_what_search_may_not(site: Site) -> None:
    everything = site.texts
    urllib = {name: text for name, (path, text) in everything.items() if "/urllib/" in path}
    (garden,) = [name for name, (path, _) in everything.items() if "/notes/" in path]
    assert urllib
    passage = next(text for text in urllib.values() if "def urlsplit" in text)
    quoted = passage[passage.index("def urlsplit") :][:200]
    assert any("/urllib/" in str(source["path"]) for span in traced(site.store, quoted) for source in span["sources"])

    outcome = site.again(**LEFT_OUT)
    assert "search.leave_out: nothing-of-that-name matches no document" in outcome.text()
    held = set(site.memory.open().documents())
    assert held == set(everything) - {garden}
    assert set(site.texts) == set(everything) - set(urllib)
    assert any(path.endswith("notes/garden.md") for path in paths_found(site.store, "broad beans November"))
    assert traced(site.store, GARDEN) == []
    assert not any("/urllib/" in path for path in paths_found(site.store, "urlsplit urlparse scheme netloc"))
    spans = traced(site.store, quoted)
    assert any(span["count"] for span in spans)
    assert not any("/urllib/" in str(source["path"]) for span in spans for source in span["sources"])
    shown = CliRunner().invoke(app, ["trace", "--store", str(site.store)], input=quoted)
    assert "in documents that search does not show" in shown.stdout
    assert "/urllib/" not in shown.stdout
    service = load(site.store, generators=True).service
    served = service.trace(quoted).spans_as_data()
    assert any(span["count"] for span in served)
    assert "/urllib/" not in json.dumps(served)
    for name in urllib:
        with pytest.raises(RequestError, match="there is no document"):
            service.passage(name, 0, 100)
    assert service.passage(garden, 0, 100).text

    # Both commands know of what is left out.
    said = info(site.store, "--check")
    assert (said["behind"], said["documents"]) == ("", len(held))
    shutil.rmtree(site.memory.root)
    assert memory(site.store, "rebuild").exit_code == 0
    assert set(site.memory.open().documents()) == held

    # Nothing changes by itself, and what is lost comes back.
    before, live = site.memory.current, json.loads(site.live.read_text())
    states = {step.name: step.state for step in site.again(**LEFT_OUT).summary.steps}
    assert states["index"] == "cached"
    assert (site.memory.current, json.loads(site.live.read_text())) == (before, live)
    aside = unsearched_file(site.live)
    aside.write_bytes(aside.read_bytes()[:64])
    refused(memory(site.store, "rebuild"), StoreError, "Delete it, then run `groundup run`")
    site.again(**LEFT_OUT)
    assert memory(site.store, "rebuild").exit_code == 0
    assert set(site.memory.open().documents()) == held

    site.again()
    assert set(site.memory.open().documents()) == set(site.texts) == set(everything)
    assert not aside.exists()


def test_a_memory_that_may_hold_nothing_holds_nothing_and_the_run_goes_on(site: Site) -> None:
    outcome = site.again(**{"memory.leave_out": ("**",)})
    assert "memory.leave_out leaves out every document: memory is empty." in outcome.text()
    assert site.memory.open().documents() == []
    rows = {row.name for table in outcome.summary.verdicts for row in table.rows if table.id == "generation"}
    assert rows == {"from-scratch", "5-gram (Kneser–Ney)", "zstd -19"}
    assert "No model of release" in memory(site.store, "info").stdout
    assert json.loads(memory(site.store, "info", "--json", "--check").stdout)["memories"] == []
    refused(memory(site.store, "rebuild"), ReleaseError, "has a memory of the corpus")
    assert paths_found(site.store, "broad beans November")


def test_a_memory_that_foretells_better_and_may_write_worse_says_why_it_has_no_say() -> None:
    from groundup.stages.memory_commands import _why

    difference = {"value": -0.3, "low": -0.4, "high": -0.2}
    pair = {"better": "a + memory", "worse": "a", "column": "held-out", "difference": difference}
    table = {"columns": ["held-out"], "unit": "bits per byte", "metric": "text", "comparisons": [pair]}
    said = "-0.300 bits per byte with it on held-out, interval -0.400 to -0.200"
    assert _why([table], "a", completes=True) == said
    assert _why([table], "a", completes=False) == f"{said}; but what it writes with it may be worse"
