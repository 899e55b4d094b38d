from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from groundup.corpus import cache as cache_module
from groundup.corpus.funnel import Funnel
from groundup.corpus.ingest import IngestResult, ingest
from groundup.corpus.limits import ReadLimits
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.sources import discover
from groundup.errors import StoreError
from tests.corpus import cleaners
from tests.shared import shared_data

LONG_AGO = 1_600_000_000_000_000_000  # ns; files written this moment aren't trusted to stay as they are


def silent(label: str, done: float, total: float) -> None:
    return


def put(root: Path, **texts: str | bytes) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = root / name.replace("__", ".")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return root


def run(root: Path, cache: Path, workers: int = 2, clean=cleaners.keep, **options) -> IngestResult:
    files = discover([root]).files
    return ingest(files, CorpusPolicy(), cache, workers, silent, clean=clean, **options)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return buffer.getvalue()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    texts = {f"note{number:03}__md": f"# Note {number}\n\nSome words about {number}.\n" for number in range(150)}
    return put(tmp_path / "notes", **texts, gone__md="drop this", empty__md=b"", picture__png=b"\x89PNG\r\n")


def test_documents_come_in_order_and_nothing_is_lost(notes: Path, tmp_path: Path) -> None:
    result = run(notes, tmp_path / "cache", clean=cleaners.upper)
    assert [document.source for document in result.documents] == [f"notes/note{n:03}.md" for n in range(150)]
    assert result.documents[7].text == "# NOTE 7\n\nSOME WORDS ABOUT 7.\n"
    assert [(event.source, event.rule) for event in result.events] == [
        ("notes/empty.md", "empty"),
        ("notes/gone.md", "drop"),
        ("notes/picture.png", "no_text_format"),
    ]
    assert (result.cached, result.read) == (0, 151)


def test_result_is_the_same_for_any_number_of_workers_and_any_cache(notes: Path, tmp_path: Path) -> None:
    one = run(notes, tmp_path / "a", workers=1)
    three = run(notes, tmp_path / "b", workers=3)
    again = run(notes, tmp_path / "b", workers=1)
    assert one.documents == three.documents == again.documents
    assert one.events == three.events == again.events
    assert (again.cached, again.read) == (152 - 1, 0)


def test_only_changed_files_are_read_again(notes: Path, tmp_path: Path) -> None:
    run(notes, tmp_path / "cache")
    put(notes, note003__md="# New\n", fresh__md="fresh")
    (notes / "note004.md").touch()  # another time, the same content
    os.remove(notes / "note005.md")
    result = run(notes, tmp_path / "cache")
    assert (result.read, result.cached) == (2, 149)
    assert {d.source: d.text for d in result.documents}["notes/note003.md"] == "# New\n"
    assert "notes/note005.md" not in {document.source for document in result.documents}


def test_a_file_changed_within_one_tick_of_the_clock_is_not_trusted(tmp_path: Path) -> None:
    root = put(tmp_path / "n", a__md="first")
    now = time.time_ns()
    os.utime(root / "a.md", ns=(now, now))
    run(root, tmp_path / "cache")
    (root / "a.md").write_text("other")  # as long as before
    os.utime(root / "a.md", ns=(now, now))
    assert [document.text for document in run(root, tmp_path / "cache").documents] == ["other"]


def test_policy_limits_and_code_are_part_of_the_key(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(notes, tmp_path / "cache")
    assert run(notes, tmp_path / "cache", limits=ReadLimits(max_depth=2)).cached == 0
    assert run(notes, tmp_path / "cache", clean=cleaners.upper).cached == 0
    files = discover([notes]).files
    policy = CorpusPolicy(min_alphanumeric_characters=6)
    assert ingest(files, policy, tmp_path / "cache", 2, silent, clean=cleaners.keep).cached == 0
    version = cache_module.code_version()
    monkeypatch.setattr(cache_module, "LIBRARIES", ("chardet",))
    assert cache_module.code_version() != version
    monkeypatch.setattr("groundup.corpus.ingest.code_version", lambda: "another")
    assert run(notes, tmp_path / "cache").cached == 0


def test_a_worker_that_dies_is_replaced_and_its_file_named(notes: Path, tmp_path: Path) -> None:
    put(notes, note010__md="exit", note090__md="segfault", note120__md="raise", note140__md="memory")
    limits = ReadLimits(memory_bytes=1_000_000_000)
    result = run(notes, tmp_path / "cache", clean=cleaners.trouble, limits=limits)
    reasons = {event.source: event.reason for event in result.events}
    assert reasons["notes/note010.md"] == "parser_crashed: the process ended with code 3"
    assert reasons["notes/note090.md"] == "parser_crashed: the process was ended by SIGSEGV"
    assert reasons["notes/note120.md"] == "cleaning_failed: RuntimeError: a fault of our own"
    assert reasons["notes/note140.md"].startswith("cleaning_failed: MemoryError")
    assert len(result.documents) == 151 - 4
    again = run(notes, tmp_path / "cache", clean=cleaners.trouble, limits=limits)
    assert again.read == 0  # a file that kills is not given a second chance to
    assert again.events == result.events


def test_a_file_that_hangs_is_given_up_and_named(notes: Path, tmp_path: Path) -> None:
    put(notes, note010__md="sleep")
    result = run(notes, tmp_path / "cache", clean=cleaners.trouble, limits=ReadLimits(seconds=2.0))
    assert [event.reason for event in result.events if event.rule == "timed_out"] == ["timed_out: no answer for 2 s"]
    assert len(result.documents) == 150


def test_a_member_that_kills_the_worker_costs_only_itself(tmp_path: Path) -> None:
    data = zipped(a__md=b"first", b__md=b"exit", c__md=b"segfault", d__md=b"last")
    result = run(put(tmp_path / "n", box__zip=data), tmp_path / "cache", clean=cleaners.trouble)
    assert [document.source for document in result.documents] == ["n/box.zip!a.md", "n/box.zip!d.md"]
    assert [(event.source, event.rule) for event in result.events] == [
        ("n/box.zip!b.md", "parser_crashed"),
        ("n/box.zip!c.md", "parser_crashed"),
    ]


def test_a_file_of_200_mb_on_one_line_is_refused_unread_with_its_bound(tmp_path: Path) -> None:
    root = put(tmp_path / "n", small__txt="small")
    with open(root / "huge.txt", "wb") as file:
        file.truncate(200_000_000)
    start = time.monotonic()
    result = run(root, tmp_path / "cache")
    assert [event.reason for event in result.events] == ["file_too_large: 200,000,000 bytes > 20,000,000"]
    assert len(result.documents) == 1
    assert time.monotonic() - start < 20


def test_a_file_that_vanished_or_became_a_pipe_is_an_event(tmp_path: Path) -> None:
    root = put(tmp_path / "n", a__md="a", b__md="b", c__md="c")
    files = discover([root]).files
    os.remove(root / "a.md")
    os.remove(root / "b.md")
    os.mkfifo(root / "b.md")
    result = ingest(files, CorpusPolicy(), tmp_path / "cache", 1, silent, clean=cleaners.keep)
    assert [event.reason for event in result.events] == [
        "unreadable_file: no such file or directory",
        "unreadable_file: no longer a regular file",
    ]


def test_progress_is_in_bytes_and_ends_at_the_total(notes: Path, tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    files = discover([notes]).files
    ingest(files, CorpusPolicy(), tmp_path / "cache", 1, lambda *a: told.append(a), clean=cleaners.keep)
    total = sum(file.size for file in files if file.source != "notes/picture.png")
    assert told[0] == ("ingest", 0.0, total)
    assert told[-1] == ("ingest", total, total)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_cache_that_is_no_database_is_begun_anew(notes: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(random.Random(0).randbytes(10_000))
    assert run(notes, tmp_path / "cache").read == 151
    assert run(notes, tmp_path / "cache").read == 0


def test_a_cache_in_the_way_of_a_folder_is_an_error_with_its_place(notes: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with pytest.raises(StoreError, match=r"cache: can't be written or read .*Make room on the disk"):
        run(notes, tmp_path / "cache")


def test_a_full_disk_is_an_error_with_its_mend(notes: Path, tmp_path: Path) -> None:
    store = cache_module.Cache(tmp_path / "cache")
    store._connection.execute("PRAGMA max_page_count=10")
    file = discover([notes]).files[0]
    with pytest.raises(StoreError, match=r"database or disk is full\)\. Make room on the disk"):
        store.add(file, b"content", b"key", bytes(1_000_000))
    store.close()


def test_a_cache_drops_what_nobody_uses_once_it_is_most_of_it(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "KEPT_AT_LEAST", 10)
    run(notes, tmp_path / "cache")
    small = put(tmp_path / "small", a__md="a", b__md="b")
    run(small, tmp_path / "cache")
    assert run(small, tmp_path / "cache").cached == 2
    assert run(notes, tmp_path / "cache").cached == 0


def test_ctrl_c_ends_the_workers_and_keeps_what_was_done(notes: Path, tmp_path: Path) -> None:
    def interrupt(label: str, done: float, total: float) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    files = discover([notes]).files
    with pytest.raises(KeyboardInterrupt):
        ingest(files, CorpusPolicy(), tmp_path / "cache", 2, interrupt, clean=cleaners.slow)
    assert psutil.Process().children(recursive=True) == []
    assert run(notes, tmp_path / "cache", clean=cleaners.slow).cached > 20


CHILD = """
import sys
from pathlib import Path
from groundup.corpus.ingest import ingest
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.sources import discover
from tests.corpus import cleaners

ingest(discover([Path(sys.argv[1])]).files, CorpusPolicy(), Path(sys.argv[2]), 2,
       lambda *told: print(*told, flush=True), clean=cleaners.slow)
"""


@pytest.mark.slow
def test_kill_9_loses_nothing_that_matters_and_leaves_no_workers(notes: Path, tmp_path: Path) -> None:
    expected = run(notes, tmp_path / "undisturbed", clean=cleaners.slow)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    generator = random.Random(3)
    for _ in range(3):
        command = [sys.executable, "-c", CHILD, str(notes), str(tmp_path / "cache")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(generator.uniform(0.2, 1.5))
            workers = psutil.Process(child.pid).children() if child.poll() is None else []
            child.send_signal(signal.SIGKILL)
            child.wait()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == []
    result = run(notes, tmp_path / "cache", clean=cleaners.slow)
    assert (result.documents, result.events) == (expected.documents, expected.events)


def test_a_worker_that_cannot_start_says_why(notes: Path, tmp_path: Path) -> None:
    def local(document, policy):
        return document, []

    with pytest.raises(RuntimeError, match=r"could not start[\s\S]*has no attribute"):
        run(notes, tmp_path / "cache", clean=local)


@pytest.mark.slow
def test_every_shared_file_is_in_the_corpus_or_in_the_funnel(tmp_path: Path) -> None:
    """With the real `clean`, on the folders a person is shown first; a part of the pages, for time."""
    listing = discover([shared_data("documents"), shared_data("html-web")])
    files = [file for number, file in enumerate(listing.files) if number < 20 or number % 8 == 0]
    result = ingest(files, CorpusPolicy(), tmp_path / "cache", 2, silent)
    told = {item.source.split("!")[0] for item in (*result.documents, *result.events)}
    assert told == {file.source for file in files}
    rules = {row.rule for row in Funnel(result.events).summary()}
    assert {"binary", "no_text_format"} <= rules
    assert "parser_failed" not in rules
    assert "cleaning_failed" not in rules
    texts = {document.source: document.text for document in result.documents}
    assert "AutoGen" in texts["documents/test.docx"]
    assert "名前" in texts["documents/test_mskanji.csv"]
    assert "Microsoft" in texts["documents/test_files.zip!test_wikipedia.html"]


def test_documents_hold_what_json_can_smuggle(tmp_path: Path) -> None:
    record = json.dumps({"title": "half", "text": "a lone \ud83d surrogate in a sentence " * 20})
    result = run(put(tmp_path / "n", a__jsonl=record), tmp_path / "cache")
    assert result.documents[0].source == "n/a.jsonl!1"
    result.documents[0].text.encode("utf-8")
