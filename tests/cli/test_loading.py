"""Which modules a command loads: none that it does not need, because a small net folds in the time that they take."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import List, Set

import pytest
from conftest import PROJECT

SAMPLE = [str(PROJECT / "sample_nets" / f"resnet20_cifar.{suffix}") for suffix in ("prototxt", "caffemodel")]
LIST = "import json, sys; from caffe_fuse.cli import main; main(sys.argv[1:]); print(json.dumps(sorted(sys.modules)))"


def loaded(*arguments: str) -> Set[str]:
    """Returns the modules that a command has loaded at its end, without the name of the package."""
    done = subprocess.run([sys.executable, "-c", LIST, *arguments], capture_output=True, text=True, check=True)
    found: List[str] = json.loads(done.stdout.splitlines()[-1])
    return {name.replace("caffe_fuse.", "") for name in found}


def rooms(modules: Set[str]) -> Set[str]:
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("command", ["fuse", "check"])
def test_a_quiet_command_loads_no_room_that_it_does_not_need(command: str, tmp_path: object) -> None:
    output = ["-o", f"{tmp_path}/out"] if command == "fuse" else []
    found = loaded(command, *SAMPLE, "-q", *output)
    assert {"net", "layers", "half"} <= rooms(found)
    assert set() == rooms(found) & {
        "execution",
        "rescale",
        "targets",
        "report",
        "page",
        "upgrading",
        "email",  # of importlib.metadata
        "h5py",
        "tqdm",
        "distributed",
    }
    assert set() == found & {"half.influence", "net.scale_groups", "net.cost", "ranges.sums", "judging.compare"}
    assert {"many"} == {name for name in found if name.startswith("many")} - {"many.outcome"}


def test_check_loads_nothing_that_folds() -> None:
    found = loaded("check", *SAMPLE, "-q")
    assert set() == rooms(found) & {"passes", "emit"}
    assert set() == {"folding.fuse", "folding.result", "folding.save"} & found
