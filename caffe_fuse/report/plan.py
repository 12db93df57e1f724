"""What a fold would do to each layer of a net, from its text and as much as is known of its weights."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

from .. import passes
from ..half.measures import Measures
from ..net.bind import expected_shapes
from ..net.cost import Savings, savings
from ..net.graph import Layer, Net
from ..net.model import Model
from ..passes.rewrite import Progress
from ..wording import counted, few


class Step(NamedTuple):
    """A layer in the plan.

    fate: what becomes of it, "" if nothing. taken_in: the layers that go into it. by: the layer into which
    it goes itself, as its index; None if it stays in the net, or goes elsewhere.
    """

    layer: Layer
    fate: str
    taken_in: Tuple[Layer, ...] = ()
    by: Optional[int] = None


class Plan(NamedTuple):
    steps: List[Step]
    saved: Savings
    summary: str


def planned(model: Model, folds: str, simplify: bool) -> Plan:
    progress = passes.settled(model.net, measures=Measures(), folds=folds, simplify=simplify)
    return Plan(_steps(model.net, progress), _savings(model, progress.net), _summary(model, progress))


def _steps(net: Net, progress: Progress) -> List[Step]:
    fate: Dict[int, str] = {}
    taken_in: Dict[int, Tuple[Layer, ...]] = {}
    by: Dict[int, int] = {}
    for rewrite in progress.rewrites:
        fate.update({layer.index: rewrite.rule.fate(rewrite, layer) for layer in rewrite.before})
        others = [layer for layer in rewrite.before if layer.index != rewrite.after.index]
        by.update({layer.index: rewrite.after.index for layer in others})
        taken_in[rewrite.after.index] = tuple(others)
    elsewhere: Dict[int, str] = {}
    for move in progress.moves:
        into = few(layer.name for layer in move.absorbing)
        through = few(layer.name for layer in move.through)
        elsewhere.update({layer.index: f"folds through {through} into {into}" for layer in move.chain})
    elsewhere.update({removal.layer.index: f"goes: {removal.reason}" for removal in progress.removals})
    elsewhere.update({index: f"stays: {refused.reason}" for index, refused in progress.refusals.items()})
    return [
        Step(layer, elsewhere[layer.index])
        if layer.index in elsewhere
        else Step(layer, fate.get(layer.index, ""), taken_in.get(layer.index, ()), by.get(layer.index))
        for layer in net.layers
    ]


def _summary(model: Model, progress: Progress) -> str:
    absorbed = (layer for rewrite in progress.rewrites if rewrite.rule.verb == "folded" for layer in rewrite.absorbed)
    folded = len({layer.index for layer in absorbed})
    merged = sum(rewrite.rule.verb == "converted" for rewrite in progress.rewrites)
    excluded = f", {len(model.excluded)} of another phase" if model.excluded else ""
    left = sum(layer.is_batch_norm for layer in progress.net.layers)
    return (
        f"{counted(len(model.net.layers), 'layer')}{excluded}: {folded} fold, "
        f"{counted(merged, 'chain')} to become a Scale, {len(progress.refusals)} stay; "
        f"{counted(len(progress.net.layers), 'layer')} and {left or 'no'} BatchNorm left"
    )


def _savings(model: Model, after: Net) -> Savings:
    """Without a weight file, shapes of weights that the net does not say are not known."""
    saved = savings(model.net, after)
    if model.weights is not None or _all_known(model.net):
        return saved
    return Savings(*(cost._replace(parameters=None) for cost in saved))


def _all_known(net: Net) -> bool:
    shapes = [expected_shapes(net, layer) for layer in net.layers]
    return not any(found is None or any(None in shape for shape in found) for found in shapes)
