"""How a device rounds values to half precision: its policy, and what becomes of an array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from ..argument_types import FLAG, NAME, expect

if TYPE_CHECKING:
    from numpy.typing import NDArray


LARGEST = 65504.0
OVERFLOW = 65520.0  # half a step beyond: from here on no fp16 value is near
SMALLEST_NORMAL = 2.0**-14


Rounding = Literal["nearest", "truncate"]
Overflow = Literal["inf", "saturate"]
Subnormals = Literal["kept", "flushed"]


@dataclass(frozen=True)
class HalfPolicy:
    """How a device rounds to half precision.

    rounding: "nearest", ties to even, or "truncate", towards 0. overflow: what becomes of magnitudes that are too
    large, from 65520 on, truncated from 65536 on: "inf", or "saturate", 65504, for infinities too. subnormals: whether
    fp16 values below 2^-14 are "kept" or "flushed" to 0, after the rounding. checked: False for no verdict at all.
    """

    name: str
    rounding: Rounding = "nearest"
    overflow: Overflow = "inf"
    subnormals: Subnormals = "kept"
    checked: bool = True

    def __post_init__(self) -> None:
        expect(NAME, name=self.name, **{field: getattr(self, field) for field in _CHOICES})
        expect(FLAG, checked=self.checked)
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
    "rounding": get_args(Rounding),
    "overflow": get_args(Overflow),
    "subnormals": get_args(Subnormals),
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
    """A new array of the same type, float32 or float64, each element an fp16 value. NaN stays NaN."""
    with np.errstate(all="ignore"):
        fp16 = _nearest(np.asarray(array))
        if policy.rounding == "truncate":
            _towards_zero(fp16, array)
        if policy.saturates:
            np.clip(fp16, -LARGEST, LARGEST, out=fp16)
        if policy.subnormals == "flushed":
            fp16[np.abs(fp16) < SMALLEST_NORMAL] *= 0
        return fp16


class _Format(NamedTuple):
    """A float type. bits: the unsigned integer of its size. fraction: the bits of its significand after the first one.

    exponents: a mask of the exponent field. least, last, most: that field for 2^-14, 2^15 and 2^16. beyond: the least
    power of two that makes 2^16 overflow.
    """

    bits: Any
    fraction: int
    exponents: int
    least: int
    last: int
    most: int
    beyond: float


def _format(dtype: Any) -> _Format:
    about = np.finfo(dtype)
    powers = (-14, 15, 16, about.maxexp)
    least, last, most, exponents = ((power + about.maxexp - 1) << about.nmant for power in powers)
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}").type
    return _Format(bits, about.nmant, exponents, least, last, most, 2.0 ** (about.maxexp - 16))


_FORMATS = {np.dtype(dtype): _format(dtype) for dtype in (np.float32, np.float64)}
_FRACTION = 10  # of fp16
_CHUNK = 1 << 15  # elements: they stay in a processor's cache from step to step


def _nearest(array: NDArray[Any]) -> NDArray[Any]:
    """Rounds to the nearest fp16 value, ties to even, as `astype(np.float16)` does, but several times faster.

    x + m - m keeps as many bits of x as m = 1.5 * 2^n leaves it in a sum of its type. For x in [2^e, 2^(e+1)) the n
    that leaves 10 after the first is e plus the difference of the fractions; below 2^-14, where the fp16 values are
    equidistant, it is that of 2^-14.
    """
    form = _FORMATS[array.dtype]
    values = array.reshape(-1)
    result = np.empty_like(values)
    leaving = ((form.fraction - _FRACTION) << form.fraction) + (1 << (form.fraction - 1))
    bits = np.empty(min(_CHUNK, values.size), form.bits)
    for first in range(0, values.size, _CHUNK):
        x, fp16 = values[first : first + _CHUNK], result[first : first + _CHUNK]
        m = bits[: x.size]
        np.bitwise_and(x.view(form.bits), form.bits(form.exponents), out=m)
        np.maximum(m, form.bits(form.least), out=m)
        may_overflow = m.max() >= form.last
        if may_overflow:
            np.minimum(m, form.bits(form.most), out=m)
        np.add(m, form.bits(leaving), out=m)
        np.add(x, m.view(x.dtype), out=fp16)
        np.subtract(fp16, m.view(x.dtype), out=fp16)
        if may_overflow:  # from 65520 on the result is 2^16 or more
            np.multiply(fp16, x.dtype.type(form.beyond), out=fp16)
            np.multiply(fp16, x.dtype.type(1 / form.beyond), out=fp16)
        np.copysign(fp16, x, out=fp16)  # also that of 0
    return result.reshape(array.shape)


def _towards_zero(fp16: NDArray[Any], array: NDArray[Any]) -> None:
    """Steps back where rounding to nearest went away from 0; from inf only below 65536, beyond fp16's exponents."""
    magnitudes = np.abs(array)
    away = (np.abs(fp16) > magnitudes) & (magnitudes < 2.0**16)
    stepped = fp16[away].astype(np.float16)
    stepped.view(np.uint16)[...] -= 1
    fp16[away] = stepped
