"""Work on a cluster of dask.distributed: the same bytes, also when a worker is killed in the middle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from conftest import PROJECT
from truth import FOLDER as TRUTH

from caffe_fuse import InputError, SystemFailure
from caffe_fuse.many import cluster as clusters
from caffe_fuse.many.cluster import Cluster

pytest.importorskip("distributed", reason="dask.distributed is not installed")

NAMES = ("net-resnet-bottleneck", "keep-batch-stats", "fold-ip", "fold-conv3d")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}


class Local:
    """The cluster of local_cluster.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._line()

    def kill_the_busy_one(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    command = [sys.executable, str(Path(__file__).with_name("local_cluster.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ENVIRONMENT
    ) as process:
        yield Local(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the current folder, with models in m/, and an empty folder out."""
    for name in NAMES:
        (tmp_path / "m" / name).mkdir(parents=True)
        for file in ("net.prototxt", "net.caffemodel"):
            shutil.copy(TRUTH / name / file, tmp_path / "m" / name / file)
    (tmp_path / "out").mkdir()
    rows = [f"m/{name}/net.prototxt\tm/{name}/net.caffemodel\t{name}" for name in NAMES]
    (tmp_path / "list").write_text("\n".join(["net\tweights\toutput", *rows]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


FUSE = ["fuse", "--manifest", "list", "-o", "out", "--report", "r.json"]


def started(words: List[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "caffe_fuse", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def result(process: subprocess.Popen[str]) -> Any:
    """Returns all that a command leaves, and removes its files."""
    with process:
        said = process.communicate(timeout=120)
    written: Dict[str, bytes] = {path.name: path.read_bytes() for path in sorted(Path("out").iterdir())}
    for name in written:
        Path("out", name).unlink()
    return process.returncode, said, written, Path("r.json").read_bytes() if Path("r.json").exists() else b""


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_models_give_the_same_bytes(fleet: Path, local: Local) -> None:
    expected = result(started(FUSE))
    assert 1 == expected[0]
    assert expected == result(started([*FUSE, "--dask", local.address]))


def test_a_worker_killed_in_the_middle_loses_nothing(fleet: Path, local: Local) -> None:
    """The weights of a model are a pipe at first: a worker waits for what nobody writes, until it is killed."""
    expected = result(started(FUSE))
    weights = Path("m", NAMES[0], "net.caffemodel")
    weights.rename("kept")
    os.mkfifo(weights)
    process = started([*FUSE, "--dask", local.address])
    partial = Path("r.json.partial")
    until(lambda: partial.exists() and 3 == partial.read_bytes().count(b"\n"), "the other models are done")
    Path("kept").rename(weights)
    assert local.kill_the_busy_one().startswith("tcp://")
    assert expected == result(process)


def test_batches_of_one_model_give_the_same_bytes(fleet: Path, local: Local) -> None:
    sample = PROJECT / "sample_nets"
    words = ["calibrate", str(sample / "digits_resnet.prototxt"), str(sample / "digits_resnet.caffemodel")]
    words += ["--input", str(sample / "digits_test.h5"), "-o", "out/ranges.json"]
    assert result(started(words)) == result(started([*words, "--dask", local.address]))


def test_a_failure_is_told_as_without_a_cluster(fleet: Path, local: Local) -> None:
    weights = Path("m", NAMES[1], "net.caffemodel")
    weights.write_bytes(weights.read_bytes()[:-50])
    expected = result(started(FUSE))
    assert 2 == expected[0]
    assert expected == result(started([*FUSE, "--dask", local.address]))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_a_scheduler_that_does_not_answer(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_SECONDS", 0.5)
    with pytest.raises(InputError, match="no scheduler of dask answers"):
        Cluster(address)


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'caffe-fuse\[dask\]'"):
        Cluster("tcp://127.0.0.1:1")


def test_a_worker_must_be_of_the_same_version_and_see_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    version = clusters.__version__
    assert str(tmp_path) == clusters._at_home(str(tmp_path), version, os.getcwd)
    (tmp_path / "in").mkdir()
    assert f"{tmp_path}/in" == clusters._at_home(f"{tmp_path}/in", version, os.getcwd)
    with pytest.raises(SystemFailure, match="a worker has caffe_fuse"):
        clusters._at_home(str(tmp_path), "0.0.0", os.getcwd)
    with pytest.raises(SystemFailure, match="a worker does not see this folder"):
        clusters._at_home(f"{tmp_path}/none", version, os.getcwd)


def test_a_task_of_another_folder_waits_until_those_of_this_one_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).mkdir()
    folder, seen = clusters.Folder(), []
    in_a, may_leave = threading.Barrier(3), threading.Event()

    def work(name: str) -> None:
        with folder.at(str(tmp_path / name)):
            if name == "a":
                in_a.wait(10)  # two of one folder work at the same time
                may_leave.wait(10)
            seen.append((name, Path.cwd().name))

    threads = [threading.Thread(target=work, args=(name,)) for name in "aa"]
    for thread in threads:
        thread.start()
    in_a.wait(10)
    threads.append(threading.Thread(target=work, args=("b",)))
    threads[-1].start()
    threads[-1].join(0.05)
    assert [] == seen
    may_leave.set()
    for thread in threads:
        thread.join(10)
    assert [("a", "a"), ("a", "a"), ("b", "b")] == seen
