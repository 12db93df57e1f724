"""How a device rounds values to half precision: its policy, and what becomes of an array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


LARGEST = 65504.0
OVERFLOW = 65520.0  # half a step beyond: from here on no fp16 value is near
SMALLEST_NORMAL = 2.0**-14


@dataclass(frozen=True)
class HalfPolicy:
    """How a device rounds to half precision.

    rounding: "nearest", ties to even, or "truncate", towards 0. overflow: what becomes of magnitudes that are too
    large, from 65520 on, truncated from 65536 on: "inf", or "saturate", 65504, for infinities too. subnormals: whether
    fp16 values below 2^-14 are "kept" or "flushed" to 0, after the rounding. checked: False for no verdict at all.
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
        """Whether the device rounds as IEEE 754 does, whatever its name."""
        return replace(self, name=IEEE.name, checked=True) == IEEE

    @property
    def small_error(self) -> float:
        """The largest error of a magnitude below the normal fp16 values."""
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
    """A new array of the same float type, each element an fp16 value. NaN stays NaN."""
    with np.errstate(all="ignore"):
        fp16 = np.asarray(array.astype(np.float16))  # an array also of a scalar
        if policy.rounding == "truncate":
            _towards_zero(fp16, array)
        if policy.saturates:
            np.clip(fp16, -LARGEST, LARGEST, out=fp16)
        if policy.subnormals == "flushed":
            fp16[np.abs(fp16) < SMALLEST_NORMAL] *= 0
        return fp16.astype(array.dtype)


def _towards_zero(fp16: NDArray[np.float16], array: NDArray[Any]) -> None:
    """Steps back where rounding to nearest went away from 0; from inf only below 65536, beyond fp16's exponents."""
    magnitudes = np.abs(array)
    away = (np.abs(fp16).astype(array.dtype) > magnitudes) & (magnitudes < 2.0**16)
    fp16.view(np.uint16)[away] -= 1
