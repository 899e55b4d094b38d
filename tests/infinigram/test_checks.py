"""A segment whose files keep their sizes and not their bits: each is named, wherever the bit is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from groundup.infinigram.checks import flaw
from groundup.infinigram.errors import MemoryFaultError
from groundup.infinigram.segment import DOCUMENTS, MANIFEST, Segment
from tests.infinigram.plain import segment

FILES = ("tokens.bin", "ends.bin", "followers.bin", "starts.bin", "offsets.bin", DOCUMENTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    made = segment({f"{i:03}": draw.integers(1, 50, 30).tolist() for i in range(20)}, 50)
    made.save(tmp_path / made.digest)
    assert flaw(tmp_path / made.digest) == ""
    return tmp_path / made.digest


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_in_every_file_wherever_it_is(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for at in {0, len(content) // 3, len(content) // 2, len(content) - 1}:
        for bit in (0, 7):
            changed = bytearray(content)
            changed[at] ^= 1 << bit
            (folder / name).write_bytes(changed)
            assert flaw(folder) == f"{name} of {folder} is not what was written"
    (folder / name).write_bytes(content)
    assert flaw(folder) == ""


def test_opening_reads_no_more_than_it_must(folder: Path) -> None:
    """The price of opening in no time: what keeps its size is opened as it is."""
    content = bytearray((folder / "followers.bin").read_bytes())
    content[7] ^= 1
    (folder / "followers.bin").write_bytes(content)
    assert len(Segment.open(folder)) == 20 * 31


@pytest.mark.parametrize(
    ("field", "value"),
    [("separator", 3), ("tokenizer", "u"), ("checksums", {}), ("checksums", None), ("checksums", [])],
)
def test_a_changed_manifest_is_found(folder: Path, field: str, value: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, field: value}))
    said = "without checksums" if field == "checksums" else f"the manifest of {folder} was changed"
    assert said in flaw(folder)


def test_what_opening_refuses_is_a_flaw_too(folder: Path) -> None:
    (folder / "ends.bin").unlink()
    with pytest.raises(MemoryFaultError, match=r"ends\.bin of .* is missing"):
        raise MemoryFaultError(flaw(folder))
    assert "holds no whole segment" in flaw(folder.parent)
