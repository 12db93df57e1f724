"""The results of the stages of a fold, from which reports and files are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional

from ..half.measures import Measures
from ..half.report import HalfReport
from ..net.graph import Net
from ..net.model import Model
from ..passes import Progress
from ..ranges.expected import Assumptions
from ..rescale.rescale import Repair
from ..targets import Adapted


@dataclass(frozen=True, eq=False, repr=False)
class Facts:
    """model: the folded one. original: the net before; before: its half range. repair: None if nothing moved.

    adapted: to the target, if there is one.
    """

    model: Model
    original: Net
    assumptions: Assumptions
    progress: Progress
    measures: Measures
    before: HalfReport
    repair: Optional[Repair]
    adapted: Optional[Adapted] = None

    @property
    def renamed(self) -> Mapping[str, str]:
        """The new name of each blob that got one for the target."""
        return {} if self.adapted is None else self.adapted.renamed

    @property
    def folded(self) -> Net:
        """The net after folds and range repair, before it was changed for a target."""
        return self.progress.net if self.repair is None else self.repair.net
