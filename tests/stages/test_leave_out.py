"""Patterns of what is left out, against a matcher that tries every way; and what is said of those that do nothing."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.corpus.document import Document, write_documents
from groundup.errors import StoreError
from groundup.stages.index import Live, pattern_notes, read_live, read_unsearched, unsearched_file, write_live
from groundup.stages.leave_out import LeaveOut

SIGNS = ("a", "b", "B", ".", "/", "!", "[a]", "\n", "é")
paths = st.lists(st.sampled_from(SIGNS), min_size=1, max_size=8).map("".join)
globs = st.lists(st.sampled_from((*SIGNS, "*", "?", "**", "**/", "/**/")), min_size=1, max_size=6).map("".join)
plain_globs = globs.filter(lambda glob: "**" not in glob and "[" not in glob)


def matches(glob: str, path: str, begins: bool = True) -> bool:
    """One sign at a time, every way tried. begins: a name of the pattern begins here."""
    if not glob:
        return not path
    rest = [path[at:] for at in range(len(path) + 1)]
    if begins and glob.startswith("**/"):  # any number of folders, none too
        return any(matches(glob[3:], after) for at, after in enumerate(rest) if at == 0 or path[at - 1] in "/!")
    if glob.startswith("**"):
        return any(matches(glob[2:], after, False) for after in rest)
    if glob[0] == "*":
        name = re.split("[/!]", path)[0]
        return any(matches(glob[1:], path[at:], False) for at in range(len(name) + 1))
    if not path or (path[0] in "/!" if glob[0] == "?" else path[0] != glob[0]):
        return False
    return matches(glob[1:], path[1:], glob[0] in "/!")


def folders_and_itself(path: str) -> list[str]:
    return [path[:at] for at in range(len(path)) if path[at] in "/!"] + [path]


@settings(max_examples=600, deadline=None)
@given(globs.filter(lambda glob: glob.strip() and not glob.startswith("./") and not glob.endswith("/")), paths)
@example("a**/b", "ab")
@example("a/**/b", "a/b")
@example("**/a", "b!a/x")
@example("****/a", "ba")
@example("a/**", "a")
def test_a_path_is_left_out_if_the_pattern_fits_it_or_a_folder_that_it_lies_in(glob: str, path: str) -> None:
    assert (path in LeaveOut((glob,))) == any(matches(glob, one) for one in folders_and_itself(path))


@settings(max_examples=300, deadline=None)
@given(plain_globs.filter(lambda glob: glob.strip() and not glob.startswith("./") and not glob.endswith("/")), paths)
def test_stars_and_question_marks_are_fnmatchs_within_each_name(glob: str, path: str) -> None:
    """fnmatch knows no folders: it is asked name by name, and of the signs that divide them."""
    wanted = re.split("([/!])", glob)

    def fits(one: str) -> bool:
        found = re.split("([/!])", one)
        # Name for name, fnmatch's brackets being ours as they are.
        return len(found) == len(wanted) and all(
            fnmatchcase(name, part) if at % 2 == 0 else name == part
            for at, (name, part) in enumerate(zip(found, wanted, strict=True))
        )

    assert (path in LeaveOut((glob,))) == any(map(fits, folders_and_itself(path)))


@pytest.mark.parametrize(
    ("pattern", "left_out", "kept"),
    [
        ("notes", ["notes", "notes/a.md", "notes/deep/b.md"], ["notes.md", "my/notes/a.md", "Notes/a.md"]),
        ("notes/", ["notes/a.md"], ["notes.md"]),
        ("./notes/*.md", ["notes/a.md"], ["notes/deep/b.md", "notes/a.txt"]),
        ("**/private", ["private/a", "x/private/b", "x/y/private"], ["x/private.txt", "unprivate/a"]),
        ("**/*.key", ["a.key", "x/y/b.key", "mail.zip!x/c.key"], ["a.keys"]),
        ("mail.zip", ["mail.zip!a.txt", "mail.zip!b/c.txt"], ["mail.zip.txt"]),
        ("mail.zip!*.txt", ["mail.zip!a.txt"], ["mail.zip!b/c.txt"]),
        ("x/**/z.txt", ["x/z.txt", "x/y/z.txt", "x/y.zip!z.txt"], ["z.txt", "x/yz.txt"]),
        ("a[1].txt", ["a[1].txt"], ["a1.txt"]),
        ("**", ["a", "a/b", "a!b"], []),
    ],
)
def test_patterns_as_people_write_them(pattern: str, left_out: list[str], kept: list[str]) -> None:
    rule = LeaveOut((pattern,))
    assert [path for path in [*left_out, *kept] if path in rule] == left_out
    assert LeaveOut(("nothing-of-that-name", pattern)).unused(kept) == ["nothing-of-that-name", pattern]


def document(source: str) -> Document:
    return Document(f"{hash(source) % 10**9:032}", source, "", source, f"text of {source}", "prose", "en", {})


def test_a_pattern_that_does_nothing_or_takes_all_is_said() -> None:
    documents = [document("notes/a.md"), document("notes/b.md")]
    assert LeaveOut(("notes/a.md",)).kept(documents) == documents[1:]
    assert pattern_notes(documents, ["notes/a.md"], ["**/b.md"]) == ()
    assert pattern_notes(documents, ["note", "**/a.md"], ["notes"]) == (
        "memory.leave_out: note matches no document; paths look like notes/a.md.",
        "search.leave_out leaves out every document: search is empty.",
    )


def test_what_the_index_holds_goes_through_its_file_and_older_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run" / "live.json"
    live = Live("w", (), ("a",), ("b/**",), ("said",), 7)
    write_live(path, live)
    assert read_live(path) == live
    path.write_text(json.dumps({"wanted": "w", "files": []}))
    assert read_live(path) == Live("w", ())
    for broken in ("", "[]", '"x"', '{"wanted": "w"}', '{"wanted": "w", "files": [], "aside": "many"}'):
        path.write_text(broken)
        assert read_live(path) is None


def test_documents_kept_from_search_that_are_damaged_are_named_with_the_mend(tmp_path: Path) -> None:
    live = tmp_path / "live.json"
    assert read_unsearched(live) == []
    held = [document("a"), document("b")]
    write_documents(unsearched_file(live), held)
    assert read_unsearched(live) == held
    content = unsearched_file(live).read_bytes()
    for damaged in (content[: len(content) // 2], b""):
        unsearched_file(live).write_bytes(damaged)
        with pytest.raises(
            StoreError, match=r"unsearched\.parquet: .* can't be read\. Delete it, then run `groundup run`"
        ):
            read_unsearched(live)
