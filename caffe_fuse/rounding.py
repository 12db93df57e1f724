"""How devices round numbers to IEEE half precision: to the nearest or towards zero, and what they do at both ends.

A half has 11 significant bits; its largest value is 65504, its smallest normal one 2^-14, its smallest subnormal one
2^-24. A number that is larger than all halves becomes infinite or the largest half, and a result below the smallest
normal half is kept, or flushed to zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

LARGEST = 65504.0
SMALLEST_NORMAL = 2.0**-14


class HalfPolicy(NamedTuple):
    """What a device does with numbers that are no halves.

    rounding: "nearest" (ties to even) or "truncate" (towards zero).
    overflow: "inf", from 65520 on where it rounds to the nearest and from 65536 on where it truncates; or "saturate":
    what is larger than 65504 becomes 65504, infinity too.
    subnormals: "kept", or "flushed": a result below 2^-14 becomes a zero of its sign.
    """

    name: str
    rounding: str = "nearest"
    overflow: str = "inf"
    subnormals: str = "kept"


IEEE = HalfPolicy("ieee")
POLICIES = {
    policy.name: policy
    for policy in (
        IEEE,
        HalfPolicy("flush", subnormals="flushed"),
        HalfPolicy("truncate", rounding="truncate"),
        HalfPolicy("saturate", overflow="saturate"),
    )
}


def rounded(array: Any, policy: HalfPolicy) -> Any:
    """The numbers that a device with this policy holds, in the dtype of `array` (float32 or float64, any shape).

    NaN stays NaN under every policy.
    """
    array = np.asarray(array)
    with np.errstate(all="ignore"):
        halves = array.astype(np.float16)
        result = halves.astype(array.dtype)
        if policy.rounding == "truncate":
            # The half before it: an infinity that a finite number was rounded to becomes 65504.
            away = (np.abs(result) > np.abs(array)) & (np.abs(array) < 2.0**16)
            result = (halves.view(np.uint16) - away).astype(np.uint16).view(np.float16).astype(array.dtype)
    if policy.overflow == "saturate":
        result = np.clip(result, -LARGEST, LARGEST)
    if policy.subnormals == "flushed":
        result = np.where(np.abs(result) < SMALLEST_NORMAL, np.copysign(array.dtype.type(0), result), result)
    return result
