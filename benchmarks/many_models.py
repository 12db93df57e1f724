"""Folds many models with one process, with two, and on a cluster of two dask workers, and compares the bytes.

    python benchmarks/many_models.py [--models 100]

The models are copies of sample_nets/digits_resnet with small changes of the weights. A worker is killed in the middle,
and a run with two processes is killed and resumed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, List, Optional

PROJECT = Path(__file__).resolve().parent.parent
NET = PROJECT / "sample_nets" / "digits_resnet.prototxt"
WEIGHTS = PROJECT / "sample_nets" / "digits_resnet.caffemodel"
CLUSTER = PROJECT / "tests" / "many" / "local_cluster.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}
PARTIAL = Path("r.json.partial")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the fold of many models.")
    parser.add_argument("--models", type=int, default=100, help="how many (100)")
    count = parser.parse_args().models
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make(count)
        print(f"{count} models")
        expected = run("-j 1", ["-j", "1"])
        same = [run("-j 2", ["-j", "2"])]
        same.append(run("-j 2, killed in the middle and resumed", ["-j", "2"], killed_after=count // 2))
        with subprocess.Popen(
            [sys.executable, str(CLUSTER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        ) as cluster:
            assert cluster.stdout is not None
            assert cluster.stdin is not None
            address = cluster.stdout.readline().strip()
            same.append(run("dask, two workers", ["--dask", address]))
            same.append(
                run("dask, a worker killed in the middle", ["--dask", address], meanwhile=lambda: kill(cluster))
            )
            cluster.stdin.close()
    print("the same bytes" if all(each == expected for each in same) else "DIFFERENT bytes")


def make(count: int) -> None:
    """Writes the models: the mantissas of some weights differ."""
    content = bytearray(WEIGHTS.read_bytes())
    for number in range(count):
        folder = Path("models", f"{number:03}")
        folder.mkdir(parents=True)
        shutil.copy(NET, folder / "deploy.prototxt")
        changed = bytearray(content)
        at = content.index(b"stem_bn") - 4000 + 4 * number  # in the weights of the layer before
        changed[at] ^= 1
        (folder / "digits.caffemodel").write_bytes(changed)


def run(title: str, options: List[str], killed_after: int = 0, meanwhile: Optional[Callable[[], object]] = None) -> str:
    """Folds all, prints how long that took, and returns a hash of what was printed and written."""
    Path("fused").mkdir()
    words = ["fuse", "models", "-o", "fused", "--report", "r.json", *options]
    begun = time.perf_counter()
    if killed_after:
        with started(words) as process:
            wait_for(killed_after)
            process.send_signal(signal.SIGKILL)
        words.append("--resume")
    with started(words) as process:
        if meanwhile is not None:
            wait_for(10)
            meanwhile()
        printed = process.communicate()[0]
    seconds = time.perf_counter() - begun
    found = hashlib.sha256(printed)
    for path in [Path("r.json"), *sorted(path for path in Path("fused").rglob("*") if path.is_file())]:
        found.update(f"{path} ".encode() + path.read_bytes())
    shutil.rmtree("fused")
    Path("r.json").unlink()
    print(f"  {title:<40}{seconds:7.2f} s   status {process.returncode}   sha256 {found.hexdigest()[:16]}", flush=True)
    return found.hexdigest()


def started(words: List[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "caffe_fuse", *words], stdout=subprocess.PIPE, env=ENVIRONMENT)


def wait_for(count: int) -> None:
    while not PARTIAL.exists() or PARTIAL.read_bytes().count(b"\n") < count:
        time.sleep(0.01)


def kill(cluster: subprocess.Popen[str]) -> None:
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    cluster.stdin.write("\n")
    cluster.stdin.flush()
    cluster.stdout.readline()


if __name__ == "__main__":
    main()
