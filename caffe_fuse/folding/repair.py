"""Range repair as a stage of a fold, with the options of `fuse` and the expected activations."""

from __future__ import annotations

from typing import Optional, Sequence

from ..half.measures import Measures
from ..net.graph import Layer
from ..passes import Progress
from ..ranges.expected import Assumptions
from ..rescale.rescale import Repair, rescale
from .options import Options


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
    return rescale(
        progress.net,
        excluded,
        needed=needed,
        kept=options.keep,
        keep_blobs=options.keep_blobs,
        largest=assumptions.largest(progress),
        policy=options.policy,
        measures=measures,
    )
