"""The passes, in their order. A pass is a pure function from Progress to Progress: no text, no files.

What holds before each pass holds behind it: every bottom is made by a layer before it, or is an input; layers keep
their names; the net has the same outputs. Imports `net`, `half` (for what is measured) and what is below.
"""

from __future__ import annotations

from typing import AbstractSet, Optional, Tuple, Union

from ..errors import InternalError
from ..half.measures import Measures
from ..net.graph import Net
from .activation import join_activations, part_activations
from .fold import FOLD
from .leftover import name_leftovers
from .merge import MERGE
from .rewrite import Pass, Progress, Refused, Rewrite, Rule

__all__ = ["FOLD", "MERGE", "PIPELINE", "Progress", "Refused", "Rewrite", "Rule", "run"]

PIPELINE: Tuple[Union[Pass, Rule], ...] = (
    # First: what ends in an activation of its own is no affine as a whole.
    Pass("part activations", part_activations),
    # Before what makes layers: a chain behind a weight layer costs nothing at run time once it is folded.
    FOLD,
    # What is left of the chains that hold a BatchNorm becomes one Scale each.
    MERGE,
    # What did not change looks as it did.
    Pass("join activations", join_activations),
    # Last: whatever still stands gets its reason.
    Pass("name leftovers", name_leftovers),
)


def run(net: Net, kept: AbstractSet[str] = frozenset(), measures: Optional[Measures] = None) -> Progress:
    """Applies the PIPELINE. kept: names of layers that stay as they are. measures: what is known of the blobs.

    Raises InternalError, with its name, for a pass that breaks the contract.
    """
    progress = Progress(net, frozenset(kept), measures or Measures())
    for each in PIPELINE:
        try:
            after = each.apply(progress)
            _check(progress.net, after.net)
        except InternalError as error:
            raise InternalError(f"pass {each.name}: {error}") from error
        progress = after
    return progress


def _check(before: Net, after: Net) -> None:
    """That every bottom is made is what a Net checks itself."""
    if after is before:
        return
    outputs = [{value.blob for value in net.outputs} for net in (before, after)]
    if outputs[0] != outputs[1]:
        raise InternalError(f"the net has other outputs than before: {', '.join(sorted(outputs[0] ^ outputs[1]))}")
    names = {layer.index: layer.name for layer in before.layers}
    renamed = [layer.name for layer in after.layers if names.get(layer.index, layer.name) != layer.name]
    if renamed:
        raise InternalError(f"layer {renamed[0]} had another name before")
