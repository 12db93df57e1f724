"""The passes, in their order. A pass is a pure function from Progress to Progress: no text, no files."""

from __future__ import annotations

from typing import AbstractSet, Callable, Optional, Tuple

from ..measures import Measures
from ..net import Net
from .activation import join_activations, part_activations
from .fold import fold_affines
from .leftover import name_leftovers
from .merge import merge_batch_norms
from .progress import Progress, Refused, Rewrite

__all__ = ["PIPELINE", "Progress", "Refused", "Rewrite", "run"]

PIPELINE: Tuple[Callable[[Progress], Progress], ...] = (
    part_activations,  # first: what ends in an activation of its own is no affine as a whole
    fold_affines,  # before what makes layers: a chain behind a weight layer costs nothing at run time once it is folded
    merge_batch_norms,  # what is left of the chains that hold a BatchNorm becomes one Scale each
    join_activations,  # what did not change looks as it did
    name_leftovers,  # last: whatever still stands gets its reason
)


def run(net: Net, kept: AbstractSet[str] = frozenset(), measures: Optional[Measures] = None) -> Progress:
    """Applies the PIPELINE. kept: names of layers that stay as they are. measures: what is known of the blobs."""
    progress = Progress(net, frozenset(kept), measures or Measures())
    for apply in PIPELINE:
        progress = apply(progress)
    return progress
