"""Measures how `show` and `fuse` grow with the number of layers, for five shapes of graph: whole processes.

    python benchmarks/layer_curve.py [--layers 500,1000,2000,4000,8000,16000] [--runs 3] [--folder DIR]

Prints the median seconds of each, and the milliseconds of a layer between the first and the last. Linux only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, Sequence

from fuse_speed import Measured, measure
from made_nets import SHAPES, write

TOOL = [sys.executable, "-m", "caffe_fuse"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time nets of many layers.")
    parser.add_argument("--layers", default="500,1000,2000,4000,8000,16000", help="with commas (500 to 16000)")
    parser.add_argument("--runs", type=int, default=3, help="of each command; the median counts (3)")
    parser.add_argument("--folder", type=Path, help="where the nets are made (a temporary one)")
    options = parser.parse_args()
    counts = [int(count) for count in options.layers.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'seconds of':<18}{''.join(f'{count:>9}' for count in counts)}   ms a layer   MB at the end")
        for shape in SHAPES:
            for command, found in curves(shape, counts, options.folder or Path(folder), options.runs).items():
                print_row(f"{command} {shape}", counts, found)


def curves(shape: str, counts: Sequence[int], folder: Path, runs: int) -> Dict[str, List[List[Measured]]]:
    """Returns, by command, the runs for each number of layers."""
    found: Dict[str, List[List[Measured]]] = {"show": [], "fuse": []}
    for count in counts:
        net = folder / f"{shape}{count}"
        write(shape, count, net)
        pair = [f"{net}.prototxt", f"{net}.caffemodel"]
        fold = [*TOOL, "fuse", *pair, "-o", str(folder / "output"), "-q", "--half-policy", "ieee", "--force"]
        found["show"].append([measure([*TOOL, "show", *pair]) for _ in range(runs)])
        found["fuse"].append([measure(fold) for _ in range(runs)])
    return found


def print_row(title: str, counts: Sequence[int], found: Sequence[Sequence[Measured]]) -> None:
    medians = [statistics.median(run.seconds for run in runs) for runs in found]
    each = (medians[-1] - medians[0]) / (counts[-1] - counts[0]) * 1e3 if counts[1:] else medians[0] / counts[0] * 1e3
    memory = max(run.peak for run in found[-1]) / 1e3
    print(f"{title:<18}{''.join(f'{median:>9.2f}' for median in medians)}{each:>13.2f}{memory:>16.0f}", flush=True)


if __name__ == "__main__":
    main()
