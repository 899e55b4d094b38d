from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path

import pytest

from groundup.corpus.sources import (
    SourceFile,
    default_sources,
    dependency_closure,
    discover,
    listing_fingerprint,
    take,
)
from groundup.errors import SourceError


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")


def rules(listing) -> dict[str, str]:
    return {event.source: event.rule for event in listing.events}


def test_sources_and_groups_name_no_folder_of_this_machine(tmp_path: Path) -> None:
    put(tmp_path / "notes", "b.md", "work/deep/er/a.txt", "home/z.txt")
    listing = discover([tmp_path / "notes"])
    assert [(file.source, file.group) for file in listing.files] == [
        ("notes/b.md", "notes"),
        ("notes/home/z.txt", "notes/home"),
        ("notes/work/deep/er/a.txt", "notes/work"),
    ]
    assert listing.files[0].size == len("text of b.md")
    assert listing.events == []


def test_folders_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    put(tmp_path, "one/docs/a.md", "two/docs/a.md")
    listing = discover([tmp_path / "one" / "docs", tmp_path / "two" / "docs"])
    assert [file.source for file in listing.files] == ["one/docs/a.md", "two/docs/a.md"]


def test_a_folder_named_twice_or_inside_another_is_listed_once(tmp_path: Path) -> None:
    put(tmp_path, "docs/sub/a.md")
    listing = discover([tmp_path / "docs", tmp_path / "docs" / "sub", tmp_path / "docs"])
    assert [file.path for file in listing.files] == [tmp_path / "docs/sub/a.md"]
    assert list(rules(listing).values()) == ["listed_twice"]


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    put(tmp_path, "plain.txt")
    assert [file.source for file in discover([tmp_path / "plain.txt"]).files] == ["plain.txt"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: does not exist\. Check the path"):
        discover([tmp_path / "nowhere"])
    with pytest.raises(SourceError, match="no sources were named"):
        discover([])


def test_link_loops_end_and_are_events(tmp_path: Path) -> None:
    put(tmp_path / "n", "a/b/c.md")
    (tmp_path / "n/a/b/up").symlink_to(tmp_path / "n")
    (tmp_path / "n/self").symlink_to("self")
    (tmp_path / "n/dangling").symlink_to("gone")
    listing = discover([tmp_path / "n"])
    assert [file.source for file in listing.files] == ["n/a/b/c.md"]
    assert rules(listing) == {"n/a/b/up": "link_loop", "n/self": "broken_link", "n/dangling": "broken_link"}


def test_links_are_followed_but_real_files_keep_their_names(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/x.md", "n/z/real.md")
    (tmp_path / "n/a_link").symlink_to(tmp_path / "n/z")
    (tmp_path / "n/a_file").symlink_to(tmp_path / "n/z/real.md")
    (tmp_path / "n/out").symlink_to(tmp_path / "elsewhere")
    listing = discover([tmp_path / "n"])
    assert [file.source for file in listing.files] == ["n/out/x.md", "n/z/real.md"]
    assert rules(listing) == {"n/a_link": "listed_twice", "n/a_file": "listed_twice"}


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    put(tmp_path / "n", "a.md")
    os.mkfifo(tmp_path / "n/pipe.txt")
    (tmp_path / "n/device.txt").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "n/sock.txt"))
        listing = discover([tmp_path / "n"])
    assert [file.source for file in listing.files] == ["n/a.md"]
    reasons = {event.source: event.reason for event in listing.events}
    assert reasons == {
        "n/pipe.txt": "not_a_file: a named pipe",
        "n/device.txt": "not_a_file: a device",
        "n/sock.txt": "not_a_file: a socket",
    }


def test_copies_builds_and_hidden_files_are_skipped_and_counted(tmp_path: Path) -> None:
    put(tmp_path / "n", ".git/config", "node_modules/x.js", "__pycache__/y.pyc", "env/pyvenv.cfg", "env/lib/z.py")
    put(tmp_path / "n", ".env", "kept.py")
    listing = discover([tmp_path / "n"])
    assert [file.source for file in listing.files] == ["n/kept.py"]
    assert rules(listing) == {
        "n/.git": "hidden_folder",
        "n/.env": "hidden_file",
        "n/node_modules": "skipped_folder",
        "n/__pycache__": "skipped_folder",
        "n/env": "skipped_folder",
    }


def test_an_unreadable_folder_is_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "n", "open/a.md", "shut/b.md")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = discover([tmp_path / "n"])
    assert [file.source for file in listing.files] == ["n/open/a.md"]
    assert [event.reason for event in listing.events] == ["unreadable_folder: permission denied"]


def test_file_names_that_are_no_unicode_are_shown(tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    with open(os.fsencode(tmp_path / "n") + b"/caf\xe9.txt", "w") as file:
        file.write("x")
    assert [file.source for file in discover([tmp_path / "n"]).files] == ["n/caf\\xe9.txt"]


def test_ten_thousand_files_are_listed_within_a_second(tmp_path: Path) -> None:
    for folder in range(100):
        (tmp_path / f"n/{folder}").mkdir(parents=True)
        for number in range(100):
            (tmp_path / f"n/{folder}/{number}.txt").touch()
    start = time.process_time()
    listing = discover([tmp_path / "n"])
    listing_fingerprint(listing.files)
    assert len(listing.files) == 10_000
    assert time.process_time() - start < 1.0


def test_fingerprint_changes_with_a_write_and_with_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "n", "a.md", "b.md")
    before = listing_fingerprint(discover([tmp_path / "n"]).files)
    assert listing_fingerprint(discover([tmp_path / "n"]).files) == before
    os.utime(tmp_path / "n/a.md", ns=(1, 1))
    assert listing_fingerprint(discover([tmp_path / "n"]).files) != before


# The default corpus


def test_default_sources_are_python_files_with_stable_names() -> None:
    listing = default_sources()
    sources = {file.source: file for file in listing.files}
    assert sources["stdlib/json/decoder.py"].group == "stdlib/json"
    assert sources["stdlib/json/decoder.py"].path == Path(sysconfig.get_path("stdlib")) / "json" / "decoder.py"
    assert sources["stdlib/argparse.py"].group == "stdlib/argparse"
    assert sources["numpy/__init__.py"].group == "numpy"
    assert all(name.endswith(".py") and not name.startswith("/") for name in sources)
    assert not any("/site-packages/" in name or "/tests/" in name for name in sources)
    assert list(sources) == sorted(sources)
    skipped = {event.source: event for event in listing.events if event.rule == "test_folder"}
    with_tests = default_sources(tests=True)
    assert len(with_tests.files) - len(listing.files) == sum(event.count for event in skipped.values())


def test_the_closure_follows_requirements_but_not_extras() -> None:
    closure = dependency_closure("groundup")
    assert closure[0] == "groundup"
    assert "numpy" in closure
    assert "starlette" in closure  # through fastapi
    extras_only = {"pytest", "ruff", "hypothesis"}
    assert extras_only.isdisjoint(closure)
    assert all(metadata.distribution(name) for name in closure)


def test_listing_the_default_corpus_imports_none_of_it() -> None:
    code = (
        "import sys; from groundup.corpus.sources import default_sources; default_sources();"
        "print([name for name in ('torch', 'rich', 'fastapi', 'trafilatura', 'kreuzberg') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_a_distribution_that_is_not_there_gives_the_standard_library_alone() -> None:
    listing = default_sources(distribution="no-such-distribution")
    assert {file.source.split("/")[0] for file in listing.files} == {"stdlib"}


# What fits


def sized(source: str, group: str, size: int) -> SourceFile:
    return SourceFile(Path(source), source, group, size, 0)


def test_whole_groups_are_taken_the_standard_librarys_first_then_from_the_smallest() -> None:
    files = [
        sized("big/a.py", "big", 500),
        sized("mid/a.py", "mid", 40),
        sized("mid/b.py", "mid", 20),
        sized("small/a.py", "small", 30),
        sized("stdlib/json/a.py", "stdlib/json", 60),
    ]
    taken, events, rule = take(files, 100)
    assert [file.source for file in taken] == ["small/a.py", "stdlib/json/a.py"]
    assert [(event.source, event.count, event.bytes) for event in events] == [("mid", 2, 60), ("big", 1, 500)]
    assert rule.startswith("2 of 5 files (0.0 MB of 0.0 MB): whole groups, the standard library's first")


def test_everything_is_taken_where_it_fits() -> None:
    files = [sized("a", "g", 10)]
    assert take(files, 10) == (files, [], "all 1 files (0.0 MB) fit the budget")


def test_one_large_group_is_taken_in_part_and_steadily() -> None:
    files = [sized(f"n/{number:03}", "n", 10) for number in range(100)]
    taken, events, rule = take(files, 300)
    assert sum(file.size for file in taken) == 300
    assert "n in part" in rule
    assert [(event.source, event.count) for event in events] == [("n", 70)]
    fewer, _, _ = take(files[1:], 300)
    assert len(set(taken) & set(fewer)) >= 29  # one file less changes one file
