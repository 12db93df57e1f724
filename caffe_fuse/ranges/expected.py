"""What is expected of a net's activations in half precision: predicted from its BatchNorms, or recorded from data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..half.rounding import OVERFLOW, SMALLEST_NORMAL
from ..layers.ranges import Range
from ..net.graph import Net, Value
from ..net.model import Model
from ..passes import Progress
from .predict import SIGMAS, Known, multiplied, origins, predicted
from .sums import SumBound, sum_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..rescale.rescale import Exponents
    from .calibrate import Calibration, Recorded


class Activation(NamedTuple):
    """What is known of one value of a net. layer: that writes it, "" for an input of the net.

    range: predicted, then it is bounded in every channel; or that of `recorded`, what was seen on data; or that of
    `rescaled`, what was seen before powers of two moved, times these powers.
    """

    layer: str
    blob: str
    range: Range
    recorded: Optional[Recorded] = None
    rescaled: Optional[Recorded] = None

    @property
    def seen(self) -> bool:
        """Whether this comes from data."""
        return self.recorded is not None or self.rescaled is not None

    @property
    def safe(self) -> bool:
        """Whether nothing was seen that is not finite in half; what is only predicted is safe."""
        if self.rescaled is not None:
            return self.rescaled.finite and not self.overflow.size
        return self.recorded is None or self.recorded.safe

    @property
    def overflow(self) -> NDArray[np.intp]:
        """The channels that reach what half precision rounds to infinity."""
        return np.flatnonzero(self.range.magnitudes >= OVERFLOW)

    @property
    def subnormal(self) -> NDArray[np.intp]:
        """The channels that are not always 0, and never as large as a normal half."""
        magnitudes = self.range.magnitudes
        return np.flatnonzero((magnitudes > 0) & (magnitudes < SMALLEST_NORMAL))


class Activations(NamedTuple):
    """In the order of the net: before, and after if there was a fold. Only values that something is known of.

    sigmas: how many deviations from its mean a BatchNorm's bottom is taken to go. sums: the worst case of what the
    layers with weights add up, of the last of the nets, if it was asked for.
    """

    sigmas: float
    before: Tuple[Activation, ...]
    after: Tuple[Activation, ...] = ()
    sums: Tuple[SumBound, ...] = ()

    @property
    def unsafe(self) -> List[Activation]:
        """Of the last of the nets those that were seen to overflow; predictions only warn."""
        return [row for row in self.after or self.before if not row.safe]


@dataclass(frozen=True, eq=False, repr=False)
class Assumptions:
    """What expectations of a net rest on. observed: what was recorded of it; it goes before what is predicted.

    half_sums: whether the sums of devices that add in halves are wanted as well.
    """

    net: Net
    sigmas: float = SIGMAS
    observed: Mapping[Value, Recorded] = field(default_factory=dict)
    half_sums: bool = False

    @cached_property
    def known(self) -> Known:
        """The ranges of the values of which something is known. Reads the blobs of the BatchNorms."""
        found = {value: range for value, range in predicted(self.net, self.sigmas).items() if range.bounded}
        found.update({value: recorded.range for value, recorded in self.observed.items()})
        return found

    def largest(self, progress: Progress) -> Dict[Value, NDArray[np.float64]]:
        """The largest magnitudes that are expected in the channels of a folded net."""
        sources = origins(self.net, progress, progress.net)
        return {value: self.known[source].magnitudes for value, source in sources.items() if source in self.known}


def assume(net: Net, sigmas: float, ranges: Optional[Calibration], half_sums: bool) -> Assumptions:
    """InputError for a number of sigmas that is none, and for ranges of another net."""
    if not 0 < sigmas < np.inf:
        raise InputError(f"{sigmas:g} sigmas are no range", remedy="give a number above 0, for example 6")
    return Assumptions(net, sigmas, {} if ranges is None else ranges.of(net), half_sums)


def predict(
    model: Model, *, sigmas: float = SIGMAS, ranges: Optional[Calibration] = None, half_sums: bool = False
) -> Activations:
    """What is expected of a model's activations. The options are those of `fuse`."""
    return expected(assume(model.net, sigmas, ranges, half_sums))


class Fold(NamedTuple):
    """What became of a net. exponents: of the values that were multiplied by powers of two since."""

    after: Net
    progress: Progress
    exponents: Mapping[Value, Exponents]


def expected(assumptions: Assumptions, fold: Optional[Fold] = None) -> Activations:
    """Of a net, and of what a fold made of it."""
    before, known, observed = assumptions.net, assumptions.known, assumptions.observed
    listed = _listed(before, known, observed, {})
    if fold is None:
        return Activations(assumptions.sigmas, listed, (), sum_bounds(before, known) if assumptions.half_sums else ())
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
    sums = sum_bounds(fold.after, later) if assumptions.half_sums else ()
    return Activations(assumptions.sigmas, listed, _listed(fold.after, later, seen, rescaled), sums)


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
