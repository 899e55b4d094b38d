"""machine.py: figures are measured, remembered, and never another machine's."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from groundup import machine
from groundup.machine import Machine, pick_format


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    return tmp_path


def test_profile_is_measured_once_then_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = machine.profile()
    monkeypatch.setattr(machine, "measure", lambda: pytest.fail("measured again"))
    assert machine.profile() == first
    assert len(list(cache.iterdir())) == 1


def test_refresh_measures_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.profile()
    other = Machine("p", 1, 1, {"fp32": 1.0, "bf16": 9.0}, 1.0, "bf16")
    monkeypatch.setattr(machine, "measure", lambda: other)
    assert machine.profile(refresh=True) == other
    assert machine.profile() == other


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"processor": "p"}', "\xff", '{"formats": {}}'])
def test_damaged_cache_is_measured_anew(cache: Path, content: str) -> None:
    measured = machine.profile()
    path = next(cache.iterdir())
    path.write_text(content, encoding="latin-1")
    again = machine.profile()
    assert again.cores == measured.cores
    assert json.loads(path.read_text())["cores"] == measured.cores


def test_unwritable_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(machine, "measure", lambda: Machine("p", 1, 1, {"fp32": 1.0}, 1.0, "fp32"))
    assert machine.profile().best_format == "fp32"


def test_measuring_takes_seconds_and_leaves_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    started = time.monotonic()
    found = machine.measure()
    assert time.monotonic() - started < 20  # about one second on an idle machine; AVX2-only bf16 included
    assert torch.get_num_threads() == before
    assert set(found.formats) == {"fp32", "bf16", "fp16"}
    assert all(speed > 0 for speed in found.formats.values())
    assert found.bandwidth_gb_s > 0.1
    assert Machine.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert found.processor in found.sentence()


def test_slow_format_is_given_up_after_a_few_products() -> None:
    calls = []

    def slow() -> None:
        calls.append(time.sleep(0.03))

    machine._best_seconds(slow)
    assert len(calls) == machine.HOPELESS_TRIES + 1  # the first is not counted


def test_bf16_is_picked_only_where_it_pays() -> None:
    assert pick_format({"fp32": 150.0, "bf16": 400.0, "fp16": 500.0}) == "bf16"
    assert pick_format({"fp32": 134.0, "bf16": 0.3, "fp16": 1.2}) == "fp32"
    assert pick_format({"fp32": 100.0, "bf16": 120.0}) == "fp32"
    assert pick_format({"fp32": 100.0, "bf16": 90.0, "fp16": 900.0}) == "fp32"


def test_threads_follow_argument_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert machine.use_threads() == torch.get_num_threads() == 1
        assert machine.use_threads(2) == torch.get_num_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "many")
        assert machine.use_threads() == machine.cores()
    finally:
        torch.set_num_threads(before)


def test_quota_of_the_control_group_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert machine._cgroup_quota(tmp_path) == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine._cgroup_quota(tmp_path) is None
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("200000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert machine._cgroup_quota(tmp_path) == 2.0
    assert machine._cgroup_quota(tmp_path / "absent") is None
