"""The `show` command: the layers of a net with their blobs and shapes, and what a fold would do to each."""

from __future__ import annotations

from typing import Dict, List, Sequence

from .. import passes
from ..half.measures import Measures
from ..layers.layer_type import Shape
from ..net.bind import expected_shapes
from ..net.cost import Savings, savings
from ..net.graph import Layer, Net
from ..net.model import Model
from ..wording import counted, few, shown
from .cost_table import cost_lines, cost_rows

# Of a cell that others are padded to: a layer may have thousands of bottoms.
WIDEST = 100


def plan_report(model: Model, folds: str = "all", simplify: bool = False) -> List[str]:
    """One line per layer: name, type, bottoms -> tops with shapes, blobs, its fate in a fold; then what that saves."""
    progress = passes.settled(model.net, measures=Measures(), folds=folds, simplify=simplify)
    fate: Dict[int, str] = {}
    for rewrite in progress.rewrites:
        fate.update({layer.index: rewrite.rule.fate(rewrite, layer) for layer in rewrite.before})
    for move in progress.moves:
        into = few(layer.name for layer in move.absorbing)
        through = few(layer.name for layer in move.through)
        fate.update({layer.index: f"folds through {through} into {into}" for layer in move.chain})
    fate.update({removal.layer.index: f"goes: {removal.reason}" for removal in progress.removals})
    for index, refused in progress.refusals.items():
        fate[index] = f"stays: {refused.reason}"
    rows = [_row(model.net, layer, _blobs(model, layer), fate.get(layer.index, "")) for layer in model.net.layers]
    widths = [max([len(row[column]) for row in rows if len(row[column]) <= WIDEST], default=0) for column in range(4)]
    widths.append(0)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    absorbed = (layer for rewrite in progress.rewrites if rewrite.rule.verb == "folded" for layer in rewrite.absorbed)
    folded = len({layer.index for layer in absorbed})
    merged = sum(rewrite.rule.verb == "converted" for rewrite in progress.rewrites)
    excluded = f", {len(model.excluded)} of another phase" if model.excluded else ""
    lines.append(
        f"{counted(len(model.net.layers), 'layer')}{excluded}: {folded} fold, "
        f"{counted(merged, 'chain')} to become a Scale, {len(progress.refusals)} stay"
    )
    return [*lines, *cost_lines("cost", cost_rows(_savings(model, progress.net)))]


def _savings(model: Model, after: Net) -> Savings:
    """Without a weight file, shapes of weights that the net does not say are not known."""
    saved = savings(model.net, after)
    if model.weights is not None or _all_known(model.net):
        return saved
    return Savings(*(cost._replace(parameters=None) for cost in saved))


def _all_known(net: Net) -> bool:
    shapes = [expected_shapes(net, layer) for layer in net.layers]
    return not any(found is None or any(None in shape for shape in found) for found in shapes)


def _blobs(model: Model, layer: Layer) -> Sequence[Shape]:
    """The shapes of a layer's blobs; without a weight file those that the net implies, not those of placeholders."""
    if model.weights is None:
        return expected_shapes(model.net, layer) or ()
    return [blob.shape for blob in layer.blobs]


def _row(net: Net, layer: Layer, blob_shapes: Sequence[Shape], fate: str) -> List[str]:
    tops = ", ".join(f"{value.blob} {_dims(net.shapes[value])}" for value in net.tops(layer))
    wires = f"{', '.join(layer.bottoms)} -> {tops}" if layer.bottoms else f"-> {tops}"
    blobs = " ".join(map(_dims, blob_shapes))
    return [shown(cell) for cell in (layer.name, layer.type, wires, blobs, fate)]


def _dims(shape: Shape) -> str:
    return "(?)" if shape is None else "(" + "x".join("?" if dim is None else str(dim) for dim in shape) + ")"
