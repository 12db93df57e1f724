"""What becomes of a value in half precision: the classes and their bounds.

fp16 has 11 significant bits. Its largest finite value is 65504, its smallest normal one 2^-14 and its smallest
subnormal one 2^-24. A value x, rounded by a device to the fp16 value h, belongs to the class

    nan, inf     if x itself is NaN or infinite
    overflow     if |x| >= 65520: at least half a step beyond 65504, so that no fp16 value is near. A device makes it
                 infinite, or 65504, which is just as wrong
    clipped      if 65504 < |x| < 65520: it rounds to 65504
    subnormal    if 0 < |h| < 2^-14
    underflow    if h is 0 and x is not
    zeros        if x is 0
    normal       otherwise; these are not counted
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict

import numpy as np

from .rounding import LARGEST, OVERFLOW, SMALLEST_NORMAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ("overflow", "clipped", "subnormal", "underflow", "zeros", "nan", "inf")


def classify(magnitudes: NDArray[Any], fp16: NDArray[Any]) -> Dict[str, NDArray[np.bool_]]:
    """For each class of CLASSES, in that order, which values belong to it: bool arrays of their shape.

    magnitudes: of the values, float32 or wider. fp16: the magnitudes of the fp16 values that they are rounded to.
    """
    finite, nan = np.isfinite(magnitudes), np.isnan(magnitudes)
    return {
        "overflow": finite & (magnitudes >= OVERFLOW),
        "clipped": (magnitudes > LARGEST) & (magnitudes < OVERFLOW),
        "subnormal": (fp16 > 0) & (fp16 < SMALLEST_NORMAL),
        "underflow": (fp16 == 0) & (magnitudes > 0),
        "zeros": magnitudes == 0,
        "nan": nan,
        "inf": ~finite & ~nan,
    }
