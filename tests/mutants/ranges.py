"""Faults in caffe_fuse/ranges/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CALIBRATE = "ranges/calibrate.py"
PREDICT = "ranges/predict.py"
SUMS = "ranges/sums.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "runs that merge keep the wider lower end only",
        CALIBRATE,
        "np.maximum(mine.highs, other.highs)",
        "mine.highs",
        "tests/ranges/test_calibration.py",
    ),
    Mutant(
        "variance for deviation",
        PREDICT,
        "np.sqrt(np.maximum(statistics.variance, 0))",
        "np.maximum(statistics.variance, 0)",
        "tests/ranges/test_prediction.py",
    ),
    Mutant(
        "signed weights in the bound of a sum",
        SUMS,
        "np.abs(blob.array()).astype(np.float32)",
        "blob.array().astype(np.float32)",
        "tests/ranges/test_prediction.py",
    ),
)
