"""Counts how often `verify` reports a correct fold as different: each net is folded once and compared on many seeds.

    python benchmarks/false_alarms.py [NET.prototxt WEIGHTS ...] [--seeds 100] [--blob-type float16]

Without files, it uses the nets of sample_nets/ and of the recorded Caffe results in tests/data, and the trained nets of
the folder of models if it is there. `worst` is the largest difference as a share of its bound; above 1 it is an alarm.
The status is 1 if there was one. The weights of a fold are proved when it is saved, so each alarm is a false one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Tuple

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

import truth  # noqa: E402

import caffe_fuse  # noqa: E402
from caffe_fuse.wording import counted  # noqa: E402

Pair = Tuple[str, str]
LARGE = 2**25  # bytes of weights: larger nets take too long


def main() -> int:
    parser = argparse.ArgumentParser(description="Count right folds that verify calls wrong.")
    parser.add_argument("files", nargs="*", help="pairs of a prototxt and its weights")
    parser.add_argument("--models", type=Path, default=PROJECT.parent / "shared" / "models", help="the trained nets")
    parser.add_argument("--seeds", type=int, default=100, help="how many inputs each net gets (100)")
    parser.add_argument("--seconds", type=float, default=60, help="no further seed for a net after so long (60)")
    parser.add_argument("--blob-type", choices=("float32", "float16"), default="float32", help="how folds are stored")
    options = parser.parse_args()
    pairs = list(zip(options.files[::2], options.files[1::2])) or [*samples(), *recorded(), *trained(options.models)]
    alarms = runs = nets = 0
    print(f"{'net':<44}{'seeds':>6}{'alarms':>8}{'worst':>8}{'seconds':>9}  first alarm")
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs:
            try:
                count, done = report(pair, options, str(Path(folder) / "folded"))
            except (caffe_fuse.InputError, caffe_fuse.UnsafeResult) as error:
                print(f"{name_of(pair):<44}  left out: {error}")
                continue
            alarms, runs, nets = alarms + count, runs + done, nets + 1
    print(f"{counted(alarms, 'alarm')} in {counted(runs, 'run')} of {counted(nets, 'net')}")
    return int(alarms > 0)


def report(pair: Pair, options: argparse.Namespace, prefix: str) -> Tuple[int, int]:
    """Returns the counts of alarms and runs."""
    model = caffe_fuse.load(*pair)
    result = caffe_fuse.fuse(model, blob_type=options.blob_type)
    weights, prototxt = result.save(prefix, force=True)
    folded = caffe_fuse.load(prototxt, weights)
    began, worst, alarms, took, seed = time.perf_counter(), 0.0, [], 0.0, 0
    while seed < options.seeds and took < options.seconds:
        found = caffe_fuse.verify(model, folded, rescaled=result.report.rescaled, half_policy="off", seed=seed)
        worst = max(worst, found.worst.share)
        alarms += [f"seed {seed}: {problem}" for problem in found.problems]
        took, seed = time.perf_counter() - began, seed + 1
    print(f"{name_of(pair):<44}{seed:>6}{len(alarms):>8}{worst:>8.3g}{took:>9.1f}  {''.join(alarms[:1])}", flush=True)
    return len(alarms), seed


def name_of(pair: Pair) -> str:
    path = Path(pair[0])
    return f"{path.parent.name}/{path.stem}"[-43:]


def samples() -> List[Pair]:
    weights = sorted((PROJECT / "sample_nets").glob("*.caffemodel"))
    return [(str(path.with_suffix(".prototxt")), str(path)) for path in weights]


def recorded() -> List[Pair]:
    found = [truth.load(name) for name in truth.names() if name.startswith(("fold-", "net-", "random-", "keep-"))]
    return [(str(net.prototxt_path), str(net.weights_path)) for net in found]


def trained(folder: Path) -> List[Pair]:
    """Returns the weights of each folder with its first net, except large ones."""
    found = []
    for weights in sorted(folder.glob("*/*.caffemodel")):
        nets = sorted(weights.parent.glob("*.prototxt"))
        if nets and weights.stat().st_size < LARGE:
            found.append((str(nets[0]), str(weights)))
    return found


if __name__ == "__main__":
    sys.exit(main())
