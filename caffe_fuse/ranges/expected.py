"""The expected activations of a net in half precision: predicted from its BatchNorms, or recorded on data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..argument_types import FLAG, NUMBER, expect
from ..display import Display, displayed, several
from ..errors import InputError
from ..half.rounding import OVERFLOW, SMALLEST_NORMAL
from ..layers.ranges import Range
from ..net.graph import Net, Value
from ..net.model import MODEL, Model
from ..wording import counted
from .predict import SIGMAS, Known, multiplied, origins, predicted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..passes import Progress
    from ..rescale.rescale import Exponents
    from .calibrate import Calibration, Recorded
    from .sums import SumBound


class Activation(NamedTuple):
    """The expected range of one value of a net. layer: the one that writes it, "" for an input of the net.

    range: a predicted one is bounded in every channel; otherwise it is that of `recorded`, which was recorded on data,
    or that of `rescaled`, which was recorded before powers of two moved, times these powers.
    """

    layer: str
    blob: str
    range: Range
    recorded: Optional[Recorded] = None
    rescaled: Optional[Recorded] = None

    @property
    def seen(self) -> bool:
        """Whether the range comes from data."""
        return self.recorded is not None or self.rescaled is not None

    @property
    def safe(self) -> bool:
        """Whether all that was recorded is finite in half precision; True for a range that is only predicted."""
        if self.rescaled is not None:
            return self.rescaled.finite and not self.overflow.size
        return self.recorded is None or self.recorded.safe

    @property
    def overflow(self) -> NDArray[np.intp]:
        """The channels that reach what half precision rounds to infinity."""
        return np.flatnonzero(self.range.magnitudes >= OVERFLOW)

    @property
    def subnormal(self) -> NDArray[np.intp]:
        """The channels that are not always 0, and never as large as a normal fp16 value."""
        magnitudes = self.range.magnitudes
        return np.flatnonzero((magnitudes > 0) & (magnitudes < SMALLEST_NORMAL))


@displayed
class Activations(NamedTuple):
    """Values with a known range, in the order of the net: of the net before, and after if there was a fold.

    sigmas: by how many deviations a BatchNorm's bottom is assumed to differ from its mean. sums: the worst cases of the
    sums in layers with weights, for the last of the nets, if they were asked for.
    """

    sigmas: float
    before: Tuple[Activation, ...]
    after: Tuple[Activation, ...] = ()
    sums: Tuple[SumBound, ...] = ()

    @property
    def unsafe(self) -> List[Activation]:
        """The activations of the last net that were recorded and overflow; predictions only warn."""
        return [row for row in self.after or self.before if not row.safe]

    def _display(self) -> Display:
        rows = self.after or self.before
        seen = sum(row.seen for row in rows)
        origin = f"{seen} recorded, {len(rows) - seen} predicted at {self.sigmas:g} sigmas"
        sized = sorted(((_largest(row), row) for row in rows), key=lambda each: each[0], reverse=True)
        large = [f"{_place(row)}: {most:.6g} in channel {row.range.magnitudes.argmax()}" for most, row in sized]
        over = [row for row in rows if row.overflow.size]
        where = [f"{_place(row)}: {row.overflow.size} of {counted(row.range.channels, 'channel')}" for row in over]
        small = [f"{_place(row)}: {counted(row.subnormal.size, 'channel')}" for row in rows if row.subnormal.size]
        sums = [f"{each.layer}: up to {each.bounds.max():.6g}" for each in self.sums if each.overflow.size]
        listings = [
            *several("overflow", where, 5),
            *several("half sums overflow", sums),
            *several("subnormal", small),
            *several("largest", large),
        ]
        return Display(f"Activations: the ranges of {counted(len(rows), 'blob')}", [("from", origin), *listings])


def _place(row: Activation) -> str:
    return f"{row.blob} of {row.layer}" if row.layer else f"input {row.blob}"


def _largest(row: Activation) -> float:
    return float(row.range.magnitudes.max(initial=0.0))


@dataclass(frozen=True, eq=False, repr=False)
class Assumptions:
    """What expectations of a net are based on. observed: recorded ranges, which take precedence over predicted ones.

    half_sums: whether the bounds of sums are wanted too, for devices that accumulate in fp16.
    """

    net: Net
    sigmas: float = SIGMAS
    observed: Mapping[Value, Recorded] = field(default_factory=dict)
    half_sums: bool = False

    @cached_property
    def known(self) -> Known:
        """The known ranges, by value. Reads the blobs of the BatchNorms."""
        ranges = {value: range for value, range in predicted(self.net, self.sigmas).items() if range.bounded}
        ranges.update({value: recorded.range for value, recorded in self.observed.items()})
        return ranges

    def sums(self, net: Net, known: Known) -> Tuple[SumBound, ...]:
        """The bounds of the sums of a net, if they are wanted."""
        if not self.half_sums:
            return ()
        from .sums import sum_bounds

        return sum_bounds(net, known)

    def largest(self, progress: Progress) -> Dict[Value, NDArray[np.float64]]:
        """The largest magnitudes that are expected in the channels of a folded net."""
        sources = origins(self.net, progress, progress.net)
        return {value: self.known[source].magnitudes for value, source in sources.items() if source in self.known}


def assume(net: Net, sigmas: float, ranges: Optional[Calibration], half_sums: bool) -> Assumptions:
    """The assumptions about a net.

    Raises InputError for invalid sigmas, and for ranges of another net; TypeError for a wrong type.
    """
    expect(NUMBER, sigmas=sigmas)
    expect(FLAG, half_sums=half_sums)
    if ranges is not None:
        from .calibrate import CALIBRATION  # only here: few give ranges

        expect(CALIBRATION, ranges=ranges)
    if not 0 < sigmas < np.inf:
        raise InputError(f"{sigmas:g} sigmas are not valid", remedy="give a number above 0, for example 6")
    return Assumptions(net, sigmas, {} if ranges is None else ranges.of(net), half_sums)


def predict(
    model: Model, *, sigmas: float = SIGMAS, ranges: Optional[Calibration] = None, half_sums: bool = False
) -> Activations:
    """The expected activations of a model. The options are those of `fuse`.

    Raises InputError for invalid sigmas, and for ranges of another net; TypeError for a wrong type.
    """
    expect(MODEL, model=model)
    return expected(assume(model.net, sigmas, ranges, half_sums))


class Fold(NamedTuple):
    """A folded net. exponents: of the values that were then multiplied by powers of two."""

    after: Net
    progress: Progress
    exponents: Mapping[Value, Exponents]


def expected(assumptions: Assumptions, fold: Optional[Fold] = None) -> Activations:
    """The expected activations of a net, and of the folded net if there is one."""
    before, known, observed = assumptions.net, assumptions.known, assumptions.observed
    several = _listed(before, known, observed, {})
    if fold is None:
        return Activations(assumptions.sigmas, several, (), assumptions.sums(before, known))
    later: Dict[Value, Range] = {}
    seen: Dict[Value, Recorded] = {}
    rescaled: Dict[Value, Recorded] = {}
    for value, source in origins(before, fold.progress, fold.after).items():
        exponents = fold.exponents.get(value)
        if source in known and exponents is not None and any(exponents.of):
            later[value] = multiplied(known[source], exponents)
            rescaled.update({value: observed[source]} if source in observed else {})
        elif source in known:
            later[value] = known[source]
            seen.update({value: observed[source]} if source in observed else {})
    rows = _listed(fold.after, later, seen, rescaled)
    return Activations(assumptions.sigmas, several, rows, assumptions.sums(fold.after, later))


def _listed(
    net: Net, known: Known, observed: Mapping[Value, Recorded], rescaled: Mapping[Value, Recorded]
) -> Tuple[Activation, ...]:
    values = [("", Value(name, 0)) for name in net.inputs]
    values += [(layer.name, value) for layer in net.layers for value in net.tops(layer)]
    return tuple(
        Activation(layer, value.blob, known[value], observed.get(value), rescaled.get(value))
        for layer, value in values
        if value in known
    )
