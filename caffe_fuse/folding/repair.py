"""Range repair as a stage of a fold: whether a net needs it, and the repair with the options of `fuse`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

from ..half.lost_channels import losses
from ..half.measures import Measures
from ..half.rounding import OVERFLOW
from ..net.graph import Layer
from ..passes import Progress
from ..ranges.expected import Assumptions
from .options import Options

if TYPE_CHECKING:
    from ..rescale.rescale import Repair


def repaired(
    progress: Progress,
    excluded: Sequence[Layer],
    options: Options,
    assumptions: Assumptions,
    measures: Measures,
    *,
    needed: bool,
) -> Optional[Repair]:
    """The result of `rescale` with these options; None if no repair is needed."""
    largest = assumptions.largest(progress)
    lost = losses(progress.net.layers, options.policy, measures)
    if needed and not lost and not any((magnitudes >= OVERFLOW).any() for magnitudes in largest.values()):
        return None
    from ..rescale.rescale import rescale  # most nets need none

    return rescale(
        progress.net,
        excluded,
        needed=needed,
        kept=options.keep,
        keep_blobs=options.keep_blobs,
        largest=largest,
        policy=options.policy,
        measures=measures,
        lost=lost,
    )
