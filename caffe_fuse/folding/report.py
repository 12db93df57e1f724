"""The report on one fold, as data. Its forms are in report/ (terminal, JSON) and page/ (HTML)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..argument_types import PATHS, expect
from ..display import Display, Row, displayed, several
from ..files.outputs import Written
from ..half.report import HalfReport
from ..judging.problems import Problem, sentence, steps
from ..net.graph import Layer, Net
from ..net.load import PathLike
from ..passes import Move, Refused, Removal, Rewrite
from ..ranges.expected import Activations
from ..wording import Typed, counted
from .diagnosis import Channel, Diagnosis, counted_states
from .rows import (
    BatchNormRow,
    CarriedRow,
    ConvertedRow,
    FoldedRow,
    LayerRow,
    RefusedRow,
    SimplifiedRow,
    UnrepairedRow,
)

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


class Changes(NamedTuple):
    """What became of the layers, as the passes hand it on: with the layers themselves, in the order of the net.

    folded, converted: the rewrites. carried: chains that were folded through other layers. simplified: layers that did
    nothing, and are gone. dropped: layers of other phases, and records of the weight file, that a fold removed.
    unrepaired: what rescaling could not repair. remaining: BatchNorm layers.
    """

    folded: Tuple[Rewrite, ...]
    converted: Tuple[Rewrite, ...]
    carried: Tuple[Move, ...]
    simplified: Tuple[Removal, ...]
    refused: Tuple[Refused, ...]
    dropped: Tuple[Layer, ...]
    unrepaired: Tuple[Unrepaired, ...]
    remaining: Tuple[Layer, ...]


@displayed
@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The facts of one fold. The rows, such as `folded`, have the names and values of the JSON report.

    typed: the files as they were named, and the options. changes: what the rows are made of. vanished_blobs: blob name
    -> the blob that now holds its value, or None. nets: before and after. before_channels, after_channels: the channels
    of `before` and `after`, read on first use. rescaled: blob name -> the exponents of two by which its channels are
    multiplied. activations: predicted or recorded. problems: why the result is not safe; empty if it is. name:
    of the net.
    """

    typed: Typed
    changes: Changes
    vanished_blobs: Mapping[str, Optional[str]]
    nets: Tuple[Net, Net]
    before: HalfReport
    after: HalfReport
    before_channels: Diagnosis
    after_channels: Diagnosis
    rescaled: Mapping[str, Tuple[int, ...]]
    activations: Activations
    warnings: Tuple[str, ...]
    problems: Tuple[Problem, ...]
    verification: Optional[Verification] = None
    target: Optional[Asked] = None
    name: str = ""

    @cached_property
    def folded(self) -> Tuple[FoldedRow, ...]:
        """The layers with weights that absorbed others."""
        return tuple(map(FoldedRow.of, self.changes.folded))

    @cached_property
    def converted(self) -> Tuple[ConvertedRow, ...]:
        """The chains that became a Scale."""
        return tuple(map(ConvertedRow.of, self.changes.converted))

    @cached_property
    def carried(self) -> Tuple[CarriedRow, ...]:
        """What was folded through other layers; `folded` has it too."""
        return tuple(map(CarriedRow.of, self.changes.carried))

    @cached_property
    def simplified(self) -> Tuple[SimplifiedRow, ...]:
        """The layers that were removed because they do nothing."""
        return tuple(map(SimplifiedRow.of, self.changes.simplified))

    @cached_property
    def refused(self) -> Tuple[RefusedRow, ...]:
        """The layers that stay as they are, with the reasons."""
        return tuple(RefusedRow.of(refused, self.typed) for refused in self.changes.refused)

    @cached_property
    def batch_norms(self) -> Tuple[BatchNormRow, ...]:
        """The BatchNorm layers that remain."""
        return tuple(map(BatchNormRow.of, self.changes.remaining))

    @cached_property
    def dropped(self) -> Tuple[LayerRow, ...]:
        """The layers of other phases that used a blob inside a fold, or had the name of a layer that is gone."""
        return tuple(map(LayerRow.of, self.changes.dropped))

    @cached_property
    def unrepaired(self) -> Tuple[UnrepairedRow, ...]:
        """The channels that range repair could not repair."""
        return tuple(map(UnrepairedRow.of, self.changes.unrepaired))

    def to_dict(self, outputs: Sequence[PathLike] = ()) -> Dict[str, Any]:
        """The JSON report as a dict; NaN and infinities are strings.

        outputs: the files that `save` wrote. These and the files of the model are read for their sha256: raises
        InputError if one of them cannot be read, TypeError for what are no paths.
        """
        from ..report.json_report import fold_document

        return fold_document(self, _written(outputs))

    def to_json(self, outputs: Sequence[PathLike] = ()) -> str:
        """The JSON report, as `caffe-fuse fuse --report` writes it. Takes and raises what `to_dict` does."""
        from ..report.json_report import to_json

        return to_json(self, _written(outputs))

    def to_html(self, outputs: Sequence[PathLike] = ()) -> str:
        """The page, as `caffe-fuse fuse --html` writes it: one file that needs no other.

        outputs: the files that `save` wrote. Raises InputError if the extra `report` is not installed.
        """
        from ..page.pages import to_html

        return to_html(self, _written(outputs))

    @property
    def status(self) -> int:
        """The command's exit status: 0, or 1 where the result is not safe."""
        return 1 if self.problems else 0

    @property
    def verdict(self) -> str:
        return sentence(self.problems, self.after.policy.checked, len(self.changes.remaining))

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

    def _display(self) -> Display:
        rows: List[Row] = [
            *several("not safe", [*map(str, self.problems)], 2),
            *several("next", self.next, 2),
            *_done(self.changes),
            *several("refused", [f"{row.type} {row.layer}: {row.reason}" for row in self.refused], 2),
            ("half before", self.before.summary),
            ("half after", self.after.summary),
        ]
        flushed = self.flushed
        if flushed is not None and flushed.after > flushed.before:
            rows.append(("", f"more zeros than before; {flushed.harm}"))
        if self.rescaled:
            rows.append(("rescaled", f"{counted(len(self.rescaled), 'blob')} by powers of two"))
        if self.target is not None:
            asked = self.target
            said = f"{asked.target.name}: {counted(len(asked.changes), 'change')}, {len(asked.left)} things not taken"
            rows.append(("target", said))
        if self.verification is not None:
            rows.append(("verified", self.verification.verdict))
            rows += several("answer before", [answer.summary for answer in self.verification.before], 1)
            rows += several("answer after", [answer.summary for answer in self.verification.after], 1)
        return Display(f"Report: {self.verdict}", [*rows, *several("warning", self.warnings, 2)])


def _done(changes: Changes) -> List[Row]:
    """What was done, as far as something was."""
    absorbed = {layer.index for rewrite in changes.folded for layer in rewrite.absorbed}
    said = {
        "folded": f"{counted(len(absorbed), 'layer')} into {len(changes.folded)}",
        "converted": f"{counted(len(changes.converted), 'chain')} to a Scale",
        "carried": f"{counted(len(changes.carried), 'chain')} through other layers",
        "simplified": f"{counted(len(changes.simplified), 'layer')} that did nothing",
        "dropped": f"{counted(len(changes.dropped), 'layer')} of another phase",
    }
    return [(label, text) for label, text in said.items() if getattr(changes, label)]


def _written(outputs: Sequence[PathLike]) -> List[Written]:
    expect(PATHS, outputs=outputs)
    return [Written(os.fspath(path), os.fspath(path)) for path in outputs]
