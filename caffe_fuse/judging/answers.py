"""What the outputs of a net are in half precision, beside those of the first net in float64 and in float32."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..execution.forward import Precision, run_net
from ..net.graph import Net
from .agreement import Kind, Ranking, apart, ranking, snr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Output(NamedTuple):
    """An output of the first net. names: what it is called in the first and in the second."""

    names: Tuple[str, str]
    kind: Kind
    float64: Array
    float32: Array


class TopClasses(NamedTuple):
    """Of one row of classes: the largest five in half, and in float32."""

    half: Ranking
    float32: Ranking


class HalfAnswer(NamedTuple):
    """An output of one net in half against the first net in float64. snr: in dB; numbers: the first few.

    not_finite: how many numbers are NaN or infinite; lost: how many of these the first net has finite in float32. Where
    the device saturates, lost are those that would be infinite or NaN if it did not: what they rest on was clipped.
    max_abs: the largest difference. unmatched: of detections, how many only one of the two has; the others are compared
    with the one of the same class that is nearest. top5: a pair for each row of classes. Where there are more or fewer
    numbers and they are no detections, snr and max_abs are NaN.
    """

    blob: str
    snr: float
    top1: Optional[bool]
    not_finite: int
    numbers: Tuple[float, ...]
    max_abs: float = np.nan
    lost: int = 0
    unmatched: int = 0
    top5: Tuple[TopClasses, ...] = ()


def half_answers(
    net: Net, place: int, precision: Precision, inputs: Mapping[str, Array], outputs: Sequence[Output]
) -> Tuple[HalfAnswer, ...]:
    """place: 0 where the outputs have their names of the first net, 1 for those of the second."""
    names = [output.names[place] for output in outputs]
    values = unclipped = run_net(net, inputs, precision, names).values
    if precision.half is not None and precision.half.saturates:
        infinite = replace(precision, half=replace(precision.half, overflow="inf"))
        unclipped = run_net(net, inputs, infinite, names).values
    return tuple(
        _answer(output, values[name], unclipped[name]) for output, name in zip(outputs, names) if name in values
    )


def _answer(output: Output, found: Array, unclipped: Array) -> HalfAnswer:
    """unclipped: what a device gives that does the same, but makes infinite what is too large."""
    kind = output.kind
    broken = ~np.isfinite(unclipped)
    answer = HalfAnswer(
        output.names[0],
        np.nan,
        kind.same_top_class(found, output.float64),
        int(np.count_nonzero(~np.isfinite(found))),
        tuple(float(number) for number in found.reshape(-1)[:5]),
        lost=int(np.count_nonzero(broken & (np.isfinite(output.float32) if _fits(unclipped, output) else True))),
    )
    if not _fits(found, output) and not kind.is_detections:
        return answer
    beside = kind.beside(found, output.float64)
    return answer._replace(
        snr=snr(beside.found, beside.truth),
        max_abs=apart(beside.found, beside.truth),
        unmatched=beside.unmatched,
        top5=_top_classes(kind, found, output.float32),
    )


def _fits(found: Array, output: Output) -> bool:
    return found.shape == output.float64.shape == output.float32.shape


def _top_classes(kind: Kind, found: Array, float32: Array) -> Tuple[TopClasses, ...]:
    halves, others = kind.rows(found), kind.rows(float32)
    if halves is None or others is None:
        return ()
    return tuple(TopClasses(ranking(half), ranking(other)) for half, other in zip(halves, others))
