"""What becomes of a value in half precision: the classes, and where each begins and ends.

A half has 11 significant bits. Its largest value is 65504, its smallest normal one 2^-14 and its smallest subnormal
one 2^-24. A value x, and the half that a device makes of it, are

    nan, inf     x is NaN or infinite itself
    overflow     |x| >= 65520: at least half a step beyond 65504, so that no half is near it. A device makes infinity of
                 it, or 65504, which is as wrong
    clipped      65504 < |x| < 65520: rounds to 65504
    subnormal    the half is not 0 and below 2^-14
    underflow    the half is 0, and x is not
    zeros        x is 0
    normal       all others; they have no name in what is counted
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict

import numpy as np

from .rounding import LARGEST, OVERFLOW, SMALLEST_NORMAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ("overflow", "clipped", "subnormal", "underflow", "zeros", "nan", "inf")


def classify(magnitudes: NDArray[Any], halves: NDArray[Any]) -> Dict[str, NDArray[np.bool_]]:
    """Which of the values belong to each class, bool arrays of their shape in the order of CLASSES.

    magnitudes: of the values, float32 or wider. halves: the magnitudes of what the device makes of them.
    """
    finite, nan = np.isfinite(magnitudes), np.isnan(magnitudes)
    return {
        "overflow": finite & (magnitudes >= OVERFLOW),
        "clipped": (magnitudes > LARGEST) & (magnitudes < OVERFLOW),
        "subnormal": (halves > 0) & (halves < SMALLEST_NORMAL),
        "underflow": (halves == 0) & (magnitudes > 0),
        "zeros": magnitudes == 0,
        "nan": nan,
        "inf": ~finite & ~nan,
    }
