"""The outputs of a net in half precision, compared with those of the first net in float64 and in float32."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..execution.forward import Precision, run_net
from ..half.channels import POOR
from ..net.graph import Net
from ..wording import counted
from .agreement import Kind, Ranking, apart, ranking, snr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Output(NamedTuple):
    """An output of the first net. names: its name in the first net and in the second."""

    names: Tuple[str, str]
    kind: Kind
    float64: Array
    float32: Array


class TopClasses(NamedTuple):
    """The five top classes of a row in half precision, and in float32."""

    half: Ranking
    float32: Ranking


class HalfAnswer(NamedTuple):
    """An output of one net in half precision against the first net in float64.

    snr: in dB. numbers: the first few values. not_finite: how many values are NaN or infinite. lost: how many of these
    are finite in the first net in float32; on a device that saturates, how many would be NaN or infinite without it,
    because they were computed from clipped values. max_abs: the largest difference. unmatched: how many detections only
    one of the two has; the others are compared with the nearest one of the same class. top5: a pair for each row of
    classes. float32_numbers: the first few values of the first net in float32. snr and max_abs are NaN where the shapes
    differ, except for detections.
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
    float32_numbers: Tuple[float, ...] = ()

    @property
    def rough(self) -> bool:
        """Whether half precision changes the output by more than a hundredth (40 dB), or its top class."""
        return not self.snr >= POOR or self.top1 is False

    @property
    def telling_row(self) -> int:
        """The first row with a different top class in half precision, else the first row."""
        return next((place for place, row in enumerate(self.top5) if row.half[0][0] != row.float32[0][0]), 0)

    @property
    def summary(self) -> str:
        """How near it is to the first net in float64, in a few words, and its first values."""
        if self.not_finite:
            return f"{self.blob}: {counted(self.not_finite, 'value')} not finite"
        if np.isnan(self.snr):
            return f"{self.blob}: another shape"
        same = {True: ", same top class", False: ", another top class", None: ""}[self.top1]
        near = "exact" if np.isinf(self.snr) else f"SNR {self.snr:.1f} dB"
        return f"{self.blob}: {near}{same}; {' '.join(f'{number:.4g}' for number in self.numbers)}"


def in_half(
    nets: Sequence[Tuple[Optional[Net], int]],
    precision: Precision,
    inputs: Mapping[str, Array],
    outputs: Sequence[Output],
) -> List[Tuple[HalfAnswer, ...]]:
    """The outputs of each net in half precision, none for None. The int is which of its names an output has there."""
    return [() if net is None else _answers(net, place, precision, inputs, outputs) for net, place in nets]


def _answers(
    net: Net, place: int, precision: Precision, inputs: Mapping[str, Array], outputs: Sequence[Output]
) -> Tuple[HalfAnswer, ...]:
    names = [output.names[place] for output in outputs]
    values = unclipped = run_net(net, inputs, precision, names).values
    if precision.half is not None and precision.half.saturates:
        infinite = replace(precision, half=replace(precision.half, overflow="inf"))
        unclipped = run_net(net, inputs, infinite, names).values
    return tuple(
        _answer(output, values[name], unclipped[name]) for output, name in zip(outputs, names) if name in values
    )


def _answer(output: Output, found: Array, unclipped: Array) -> HalfAnswer:
    """The comparison of one output. unclipped: the output of the same device if it did not saturate."""
    kind = output.kind
    broken = ~np.isfinite(unclipped)
    answer = HalfAnswer(
        output.names[0],
        np.nan,
        kind.same_top_class(found, output.float64),
        int(np.count_nonzero(~np.isfinite(found))),
        _first(found),
        lost=int(np.count_nonzero(broken & (np.isfinite(output.float32) if _fits(unclipped, output) else True))),
        float32_numbers=_first(output.float32),
    )
    if not _fits(found, output) and not kind.is_detections:
        return answer
    aligned = kind.aligned(found, output.float64)
    return answer._replace(
        snr=snr(aligned.found, aligned.truth),
        max_abs=apart(aligned.found, aligned.truth),
        unmatched=aligned.unmatched,
        top5=_top_classes(kind, found, output.float32),
    )


def _first(values: Array) -> Tuple[float, ...]:
    return tuple(float(value) for value in values.reshape(-1)[:5])


def _fits(found: Array, output: Output) -> bool:
    return found.shape == output.float64.shape == output.float32.shape


def _top_classes(kind: Kind, found: Array, float32: Array) -> Tuple[TopClasses, ...]:
    fp16, others = kind.rows(found), kind.rows(float32)
    if fp16 is None or others is None:
        return ()
    return tuple(TopClasses(ranking(half), ranking(other)) for half, other in zip(fp16, others))
