"""Range repair as a stage of a fold: with the options of `fuse`, and what is expected of the activations."""

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
    """As `rescale`; None where nothing asks for it."""
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
