"""The passes, in their order. A pass is a pure function from Progress to Progress: no text, no files.

Each pass keeps what held before it: every bottom is an input or is written by an earlier layer; layers keep their
names; the net has the same outputs. Imports `net`, `half` (for its measures) and what those import.
"""

from __future__ import annotations

from typing import AbstractSet, FrozenSet, Literal, Tuple, Union, get_args

import numpy as np

from ..blobs.scaled import ScaledBlob
from ..errors import InternalError
from ..half.measures import Measures
from ..net.graph import Net
from .activation import join_activations, part_activations
from .backward import BACKWARD
from .fold import FOLD
from .forward import FORWARD
from .leftover import name_leftovers
from .merge import MERGE
from .rewrite import Move, Pass, Progress, Refused, Removal, Rewrite, Rule
from .simplify import SIMPLIFY

__all__ = [
    "FOLD",
    "FOLDS",
    "FORWARD",
    "MERGE",
    "PIPELINE",
    "Folds",
    "Move",
    "Progress",
    "Refused",
    "Removal",
    "Rewrite",
    "Rule",
    "beyond_float32",
    "run",
    "settled",
]

PIPELINE: Tuple[Union[Pass, Rule], ...] = (
    # First: a layer less between two others may let them fold.
    SIMPLIFY,
    # Before all folds: a layer that ends in an activation of its own is not affine as a whole.
    Pass("part activations", part_activations),
    # Before FOLD, which takes in what this carries next to layers with weights.
    BACKWARD,
    # Before any pass that adds layers: a chain after a layer with weights costs nothing at run time once it is folded.
    FOLD,
    # After FOLD: what the layer before a chain absorbs is gone.
    FORWARD,
    # Each remaining chain that holds a BatchNorm becomes one Scale.
    MERGE,
    # Layers that did not change get their old form back.
    Pass("join activations", join_activations),
    # Again: a layer in place that is gone was all that made some identity matter, whose memory it wrote into.
    SIMPLIFY,
    # Last: every affine layer that is left gets its reason.
    Pass("name leftovers", name_leftovers),
)


# What `folds` may be, and which of the steps above "direct" leaves out.
Folds = Literal["direct", "all"]
FOLDS = get_args(Folds)
_INDIRECT = (BACKWARD, FORWARD)


def run(
    net: Net,
    kept: AbstractSet[str] = frozenset(),
    *,
    folds: str = "all",
    simplify: bool = False,
    not_finite: AbstractSet[Tuple[str, int]] = frozenset(),
) -> Progress:
    """Applies the PIPELINE. kept: names of layers that stay as they are.

    folds: one of FOLDS. simplify: whether layers that do nothing go. not_finite: as in Progress; see `beyond_float32`.
    Raises InternalError for a pass that breaks the contract, with its name.
    """
    progress = Progress(net, frozenset(net.blob_names), frozenset(kept), frozenset(not_finite))
    left_out = (*(_INDIRECT if folds == "direct" else ()), *(() if simplify else (SIMPLIFY,)))
    for step in PIPELINE:
        if step in left_out:
            continue
        try:
            after = step.apply(progress)
            _check(progress.net, after.net)
        except InternalError as error:
            raise InternalError(f"pass {step.name}: {error}") from error
        progress = after
    return progress


def beyond_float32(progress: Progress, measures: Measures) -> FrozenSet[Tuple[str, int]]:
    """The rules and layers whose new weights are not all finite; read are those that were not measured yet."""
    limit = float(np.finfo(np.float32).max)
    products = [
        (rewrite, blob) for rewrite in progress.rewrites for blob in rewrite.after.blobs if isinstance(blob, ScaledBlob)
    ]
    # By a bound first, which the blobs before suffice for: often they are measured already.
    measures.of_all(blob.base for _, blob in products)
    return frozenset(
        (rewrite.rule.name, rewrite.after.index)
        for rewrite, blob in products
        if measures.bound(blob) > limit and not measures.of(blob).finite
    )


def settled(
    net: Net,
    kept: AbstractSet[str] = frozenset(),
    *,
    measures: Measures,
    folds: str = "all",
    simplify: bool = False,
    not_finite: AbstractSet[Tuple[str, int]] = frozenset(),
) -> Progress:
    """As `run`, without rewrites whose new weights would not be finite. measures: of the blobs, as far as known."""
    while True:
        progress = run(net, kept, folds=folds, simplify=simplify, not_finite=not_finite)
        more = beyond_float32(progress, measures)
        if not more:
            return progress
        not_finite |= more


def _check(before: Net, after: Net) -> None:
    """Raises InternalError for other outputs or names; a Net itself checks that every bottom is written."""
    if after is before:
        return
    outputs = [{value.blob for value in net.outputs} for net in (before, after)]
    if outputs[0] != outputs[1]:
        raise InternalError(f"the outputs of the net changed: {', '.join(sorted(outputs[0] ^ outputs[1]))}")
    names = {layer.index: layer.name for layer in before.layers}
    renamed = [layer.name for layer in after.layers if names.get(layer.index, layer.name) != layer.name]
    if renamed:
        raise InternalError(f"layer {renamed[0]} was renamed")
