"""The report on one fold, as data. Its forms are in report/: terminal, JSON, HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Mapping, NamedTuple, Optional, Tuple

from ..half.report import HalfReport
from ..judging.problems import Problem, sentence, steps
from ..net.graph import Layer, Net
from ..passes import Move, Refused, Removal, Rewrite
from ..ranges.expected import Activations
from ..wording import Typed, counted
from .diagnosis import Channel, Diagnosis, counted_states

if TYPE_CHECKING:
    from ..judging.outcome import Verification
    from ..net.cost import Savings
    from ..rescale.rescale import Unrepaired
    from ..targets import Change, Finding, Target


class Flushed(NamedTuple):
    """How many values half precision makes 0, before and after, and how many channels keep less than 40 dB."""

    before: int
    after: int
    lost_channels: int

    @property
    def harm(self) -> str:
        """A sentence that says whether the zeros matter."""
        if self.lost_channels:
            return f"it matters: {counted(self.lost_channels, 'channel')} below 40 dB"
        return "it does no harm: every channel keeps 40 dB or more"


class Asked(NamedTuple):
    """What a target demands of this net: what was changed for it, and what it does not take.

    renamed: the new name of each blob that got one.
    """

    target: Target
    changes: Tuple[Change, ...]
    left: Tuple[Finding, ...]
    renamed: Mapping[str, str]


class Report(NamedTuple):
    """typed: the files as they were named, and the options. folded, converted: the rewrites, in the order of the net.

    vanished_blobs: blob name -> the blob that now holds its value, or None. carried: chains that were folded through
    other layers. simplified: layers that did nothing, and are gone. nets: before and after. dropped: layers of other
    phases, and records of the weight file, that a fold removed. before_channels, after_channels: the channels of
    `before` and `after`, read on first use. rescaled: blob name -> the exponents of two by which its channels
    are multiplied. unrepaired: what rescaling could not repair. activations: predicted or recorded. problems: why
    the result is not safe; empty if it is. remaining: BatchNorm layers.
    """

    typed: Typed
    folded: Tuple[Rewrite, ...]
    converted: Tuple[Rewrite, ...]
    refused: Tuple[Refused, ...]
    vanished_blobs: Mapping[str, Optional[str]]
    carried: Tuple[Move, ...]
    simplified: Tuple[Removal, ...]
    nets: Tuple[Net, Net]
    dropped: Tuple[Layer, ...]
    before: HalfReport
    after: HalfReport
    before_channels: Diagnosis
    after_channels: Diagnosis
    rescaled: Mapping[str, Tuple[int, ...]]
    unrepaired: Tuple[Unrepaired, ...]
    activations: Activations
    warnings: Tuple[str, ...]
    problems: Tuple[Problem, ...]
    remaining: Tuple[Layer, ...]
    verification: Optional[Verification] = None
    target: Optional[Asked] = None

    @property
    def status(self) -> int:
        """The command's exit status: 0, or 1 where the result is not safe."""
        return 1 if self.problems else 0

    @property
    def verdict(self) -> str:
        return sentence(self.problems, self.after.policy.checked, len(self.remaining))

    @property
    def savings(self) -> Savings:
        """What both nets cost, computed when it is asked for: not every form of the report shows it."""
        from ..net.cost import savings

        return savings(*self.nets)

    @property
    def flushed(self) -> Optional[Flushed]:
        """The counts of zeros; None if the half range was not checked."""
        if not self.after.policy.checked:
            return None
        before, after = (sum(row.stats.underflow for row in found.rows) for found in (self.before, self.after))
        return Flushed(before, after, counted_states(self._worst)["lost"])

    @property
    def _worst(self) -> Iterator[Tuple[str, Channel]]:
        return ((row.layer, channel) for row, channel in self.after_channels.worst)

    @property
    def next(self) -> Tuple[str, ...]:
        """What to do where the result is not safe, commands with the files of this net."""
        return steps(self.problems, self.typed)
