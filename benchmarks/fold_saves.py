"""What a fold saves: layers, multiply-adds, and the time of a forward pass before and after, here and in OpenCV.

    python benchmarks/fold_saves.py NET [WEIGHTS] [--runs 7]

Without WEIGHTS they are made up. Both nets take turns in this process; the medians count. OpenCV's own fusion is off.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, List, Sequence

import cv2

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

import nets  # noqa: E402

import caffe_fuse  # noqa: E402
from caffe_fuse.execution.run import input_shapes  # noqa: E402
from caffe_fuse.report.cost_table import cost_lines, cost_rows  # noqa: E402


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What a fold saves.")
    parser.add_argument("net", type=Path)
    parser.add_argument("weights", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights or Path(folder) / "made_up.caffemodel"
        if options.weights is None:
            text = options.net.read_bytes()
            weights.write_bytes(nets.caffemodel(text, nets.numbers(text)))
        model = caffe_fuse.load(options.net, weights)
        result = caffe_fuse.fuse(model, half_policy="off", allow_bn=True)
        new_weights, prototxt = result.save(str(Path(folder) / "folded"))
        folded = caffe_fuse.load(prototxt, new_weights)
        print("\n".join(cost_lines("cost", cost_rows(result.report.savings))))
        passes = [lambda: caffe_fuse.run(model), lambda: caffe_fuse.run(folded)]
        print(f"run        {ratio(passes, options.runs):.2f}")
        files = ((options.net, weights), (prototxt, new_weights))
        loaded = [cv2.dnn.readNetFromCaffe(*map(str, pair)) for pair in files]
        (shape,) = [shape for shape in input_shapes(model.net).values() if shape is not None]
        for net in loaded:
            net.enableFusion(False)
            net.setInput(nets.spread([dim or 1 for dim in shape], 1))
        print(f"OpenCV     {ratio([net.forward for net in loaded], options.runs):.2f}")


def ratio(both: Sequence[Callable[[], object]], runs: int) -> float:
    """Returns the time of the second as a share of the first, by their medians, after one run of each."""
    times: List[List[float]] = [[], []]
    for turn in range(runs + 1):
        for call, taken in zip(both, times):
            started = time.perf_counter()
            call()
            if turn:
                taken.append(time.perf_counter() - started)
    before, after = map(statistics.median, times)
    return after / before


if __name__ == "__main__":
    main(sys.argv[1:])
