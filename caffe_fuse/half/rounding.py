"""How a device holds values in half precision: its policy, and what it makes of an array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


LARGEST = 65504.0
OVERFLOW = 65520.0  # half a step beyond: from here on no half is near
SMALLEST_NORMAL = 2.0**-14


@dataclass(frozen=True)
class HalfPolicy:
    """How a device rounds to half.

    rounding: "nearest", ties to even, or "truncate", towards 0. overflow: what becomes of numbers that are too large,
    from 65520 on, truncated from 65536 on: "inf", or "saturate", 65504, for infinities too. subnormals: whether
    halves below 2^-14 are "kept" or "flushed" to 0, after the rounding. checked: False for no verdict at all.
    """

    name: str
    rounding: str = "nearest"
    overflow: str = "inf"
    subnormals: str = "kept"
    checked: bool = True

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"{field} {getattr(self, field)!r} is neither {' nor '.join(choices)}")

    @property
    def saturates(self) -> bool:
        return self.overflow == "saturate"

    @property
    def is_ieee(self) -> bool:
        """Whether the device does as IEEE 754 says, whatever its name."""
        return replace(self, name=IEEE.name, checked=True) == IEEE

    @property
    def small_error(self) -> float:
        """By how much a number below the normal halves is off at most."""
        if self.subnormals == "flushed":
            return SMALLEST_NORMAL
        return 2.0**-25 if self.rounding == "nearest" else 2.0**-24


_CHOICES = {
    "rounding": ("nearest", "truncate"),
    "overflow": ("inf", "saturate"),
    "subnormals": ("kept", "flushed"),
}

IEEE = HalfPolicy("ieee")
OFF = HalfPolicy("off", checked=False)
GENERIC = {
    policy.name: policy
    for policy in (
        OFF,
        IEEE,
        HalfPolicy("flush", subnormals="flushed"),
        HalfPolicy("truncate", rounding="truncate"),
        HalfPolicy("saturate", overflow="saturate"),
    )
}


def rounded(array: NDArray[Any], policy: HalfPolicy = IEEE) -> NDArray[Any]:
    """A new array of the same float type, each number a half. NaN stays NaN."""
    with np.errstate(all="ignore"):
        halves = np.asarray(array.astype(np.float16))  # of a single number, too
        if policy.rounding == "truncate":
            _towards_zero(halves, array)
        if policy.saturates:
            np.clip(halves, -LARGEST, LARGEST, out=halves)
        if policy.subnormals == "flushed":
            halves[np.abs(halves) < SMALLEST_NORMAL] *= 0
        return halves.astype(array.dtype)


def _towards_zero(halves: NDArray[np.float16], array: NDArray[Any]) -> None:
    """One step back where nearest went away from 0; from inf only below 65536, which has no half exponent."""
    magnitudes = np.abs(array)
    away = (np.abs(halves).astype(array.dtype) > magnitudes) & (magnitudes < 2.0**16)
    halves.view(np.uint16)[away] -= 1
