"""Range repair as a stage of a fold: whether a net needs it, and the repair with the options of `fuse`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, Optional, Sequence

from ..half.lost_channels import losses
from ..half.measures import Measures
from ..half.rounding import OVERFLOW
from ..net.graph import Layer, Net, Value
from ..passes import Progress
from ..ranges.expected import Assumptions
from .options import Options

if TYPE_CHECKING:
    import numpy as np

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
    if needed and not _loses(progress.net, largest, measures):
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
    )


def _loses(net: Net, largest: Mapping[Value, np.ndarray], measures: Measures) -> bool:
    """Whether half precision loses a channel of weights, or a value is expected to overflow."""
    is_large = any((magnitudes >= OVERFLOW).any() for magnitudes in largest.values())
    return is_large or bool(losses(net.layers, policy=measures.policy, measures=measures))
