"""What a fold did, as the stages left it; reports and files are made from this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..half.measures import Measures
from ..half.report import HalfReport
from ..net.graph import Net
from ..net.model import Model
from ..passes import Progress
from ..ranges.expected import Assumptions
from ..rescale.rescale import Repair


@dataclass(frozen=True, eq=False, repr=False)
class Facts:
    """model: the new one. original: the net before, and before: its half range. repair: None where nothing moved."""

    model: Model
    original: Net
    assumptions: Assumptions
    progress: Progress
    measures: Measures
    before: HalfReport
    repair: Optional[Repair]
