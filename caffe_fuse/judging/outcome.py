"""The result of a comparison: how far two nets differ, their outputs in half precision, and the verdict."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ..display import Display, displayed, several
from ..wording import Remedy, counted
from .answers import HalfAnswer
from .problems import CALIBRATE, Problem, answering, differing


class BlobDifference(NamedTuple):
    """One blob of both nets. layer: the one of the first net that writes it.

    max_abs: the largest difference in float32. relative: max_abs over the blob's largest magnitude. bound: how large
    max_abs may be. snr: in dB, inf where nothing differs. top1: whether the largest value of each row is at the
    same index; None if the rows have no classes. unmatched: how many detections only one of the nets has; in the other
    they count as ones of score 0.
    """

    blob: str
    layer: str
    max_abs: float
    relative: float
    bound: float
    cosine: float
    snr: float
    top1: Optional[bool]
    unmatched: int = 0

    @property
    def equal(self) -> bool:
        return self.max_abs <= self.bound

    @property
    def share(self) -> float:
        """max_abs as a share of the bound; if that is 0 or infinite, 1 where it is exceeded, else 0."""
        return self.max_abs / self.bound if 0 < self.bound < np.inf else float(self.max_abs > self.bound)

    def __str__(self) -> str:
        times = f", {self.share:,.4g} times as much" if self.bound else ""
        return f"blob {self.blob} of layer {self.layer}: by {self.max_abs:.3g} where {self.bound:.3g} is allowed{times}"


@displayed
class Verification(NamedTuple):
    """rows: in the order of the first net. unavailable: common blobs that were not compared, with the reason.

    before, after: outputs of the two nets in half precision; unrepaired: of the second one without its range repair.
    min_snr: in dB, what `after` must have. tolerance: what was allowed instead of rounding. remedy: for bad outputs in
    half precision.
    """

    rows: Tuple[BlobDifference, ...]
    unavailable: Mapping[str, str]
    before: Tuple[HalfAnswer, ...] = ()
    after: Tuple[HalfAnswer, ...] = ()
    unrepaired: Tuple[HalfAnswer, ...] = ()
    min_snr: Optional[float] = None
    tolerance: Optional[float] = None
    remedy: Remedy = CALIBRATE

    @property
    def equal(self) -> bool:
        return all(row.equal for row in self.rows)

    @property
    def problems(self) -> Tuple[Problem, ...]:
        """Why the second net cannot replace the first; empty if it can."""
        return (*differing(self.first_difference), *answering(self.after, self.min_snr, self.remedy))

    @property
    def verdict(self) -> str:
        if self.problems:
            return "NOT safe in half precision, though the same net" if self.equal else "the nets DIFFER"
        return f"the same net: what differs is {'rounding' if self.tolerance is None else 'within the tolerance'}"

    @property
    def in_half(self) -> Tuple[Tuple[HalfAnswer, ...], ...]:
        """The outputs in half precision: of the first net, of the second one without its repair, and of the second."""
        return self.before, self.unrepaired, self.after

    @property
    def first_difference(self) -> Optional[BlobDifference]:
        """The first blob that differs."""
        return next((row for row in self.rows if not row.equal), None)

    @property
    def worst(self) -> BlobDifference:
        """The blob that is nearest to its bound, or exceeds it most."""
        return max(self.rows, key=lambda row: row.share)

    def _display(self) -> Display:
        worst, first = self.worst, self.first_difference
        nearest = f"nearest to its bound is {worst.blob}: off by {worst.max_abs:.3g}, allowed {worst.bound:.3g}"
        named = {"first in half": self.before, "without repair": self.unrepaired, "second in half": self.after}
        rows = [("compared", f"{counted(len(self.rows), 'blob')}; {nearest}")]
        rows += [] if first is None else [("differs first", str(first))]
        for label, answers in named.items():
            rows += several(label, [answer.summary for answer in answers])
        rows += several("not run", [f"{name}: {reason}" for name, reason in self.unavailable.items()])
        return Display(f"Verification: {self.verdict}", [*rows, *several("not safe", [*map(str, self.problems)])])
