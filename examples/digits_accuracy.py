"""Prints the accuracy of a trained net on digits: with BatchNorm and folded, in float32 and in half precision.

    python examples/digits_accuracy.py

In half precision the variances of the first BatchNorm are infinite, so the net predicts the same class for every digit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import h5py
import numpy as np

import caffe_fuse

NETS = Path(__file__).resolve().parent.parent / "sample_nets"


Precision = Literal["float32", "half"]


def accuracy(model: caffe_fuse.Model, precision: Precision, digits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of the digits whose most probable class is their label."""
    probabilities = caffe_fuse.run(model, {"data": digits}, precision=precision)["probabilities"]
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def main() -> None:
    with h5py.File(NETS / "digits_test.h5", "r") as file:
        digits, labels = file["data"][:], file["label"][:]
    original = caffe_fuse.load(str(NETS / "digits_resnet.prototxt"), str(NETS / "digits_resnet.caffemodel"))
    folded = caffe_fuse.fuse(original).model
    print(f"digits_resnet reads {len(labels)} digits that it was not trained on:\n")
    print("                 float32      half")
    for name, model in {"with BatchNorm": original, "folded": folded}.items():
        single, half = accuracy(model, "float32", digits, labels), accuracy(model, "half", digits, labels)
        print(f"{name:14} {single:9.1%} {half:9.1%}")


if __name__ == "__main__":
    main()
