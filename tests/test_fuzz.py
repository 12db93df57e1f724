"""The fuzzers themselves: each target runs, and detects a fault. tests/fuzz/run.py runs them for longer."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import bounded
import pytest

from caffe_fuse.cli import commands
from caffe_fuse.errors import InternalError

sys.path.insert(0, str(Path(__file__).resolve().parent / "fuzz"))
import targets
from targets import Case, Find


@pytest.fixture
def structure() -> Any:
    target = targets.Structure()
    yield target
    target.close()


@pytest.mark.parametrize("name", ["text", "caffemodel", "hdf5"])
def test_changed_bytes_are_an_error_of_the_input_or_none(name: str) -> None:
    target = targets.target(name)
    for seed in range(100):
        target.run(target.case(Random(seed)))


def test_changed_nets_end_with_status_0_1_or_2(structure: Any) -> None:
    for seed in range(60):
        structure.run(structure.case(Random(seed)))
    commands_run = {key.split()[0] for key in structure.statuses}
    assert {"fuse", "check", "show", "run", "verify", "calibrate", "upgrade"} == commands_run
    assert {"0", "2"} <= {key.split()[1] for key in structure.statuses}


def test_the_same_seed_is_the_same_case(structure: Any) -> None:
    other = targets.Structure()
    assert structure.case(Random(5)) == other.case(Random(5))
    other.close()


def test_an_internal_error_is_a_find(structure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run_show", lambda _options: 1 // 0)
    with pytest.raises(Find, match="ZeroDivisionError"):
        structure.run(Case({"net.prototxt": b""}, ["show", "{}/net.prototxt"]))


@pytest.mark.parametrize(
    ("error", "kind"), [(InternalError("x"), "status 3"), (MemoryError(), "memory"), (bounded.TooLong(), "too long")]
)
def test_an_error_that_is_not_of_the_input_is_a_find(error: BaseException, kind: str) -> None:
    def read(_data: bytes) -> None:
        raise error

    with pytest.raises(Find) as found:
        targets.Bytes("net", [b"x"], read).check(b"x")
    assert kind == found.value.kind
