"""What `show` prints: the layers of a net, what a fold would do to each, what that saves, and a summary.

Elsewhere than on a terminal, each layer has a line, whose length nothing limits. On a terminal a layer has a line with
what it takes in, blocks that repeat are printed once, and lines fit.
"""

from __future__ import annotations

import re
from typing import Collection, Hashable, List, Optional, Sequence, Tuple

from ..layers.layer_type import Shape
from ..net.bind import expected_shapes
from ..net.graph import Layer, Net
from ..net.model import Model
from ..wording import few, shown
from .cost_table import cost_lines, cost_rows
from .lines import fitted, without_middle
from .plan import Plan, Step, planned
from .repeats import blocks

# Of a cell that others are padded to: a layer may have thousands of bottoms.
WIDEST = 100
_FATE, _NAME = 24, 16  # columns that the fate and the name of a layer need at least
_HEAD = ("layer", "type", "top", "weights", "in a fold")


def plan_report(
    model: Model,
    folds: str = "all",
    simplify: bool = False,
    *,
    target: Sequence[str] = (),
    width: Optional[int] = None,
    verbose: bool = False,
) -> List[str]:
    """target: what a tool does not take, as lines. width: of the terminal, None if there is none.

    verbose: every layer has a line on a terminal, too.
    """
    plan = planned(model, folds, simplify)
    lines = _every_layer(model, plan, width) if width is None or verbose else _grouped(model, plan, width)
    lines += cost_lines("cost", cost_rows(plan.saved), width)
    lines += [*target, f"summary    {plan.summary}"]
    return lines if width is None else [part for line in lines for part in fitted(line, width, _indent(line))]


def _indent(line: str) -> int:
    return 11 if line.startswith(("summary", "target")) else 4


def _every_layer(model: Model, plan: Plan, width: Optional[int]) -> List[str]:
    rows = [_row(model.net, step.layer, _blobs(model, step.layer), step.fate) for step in plan.steps]
    lines = _aligned(rows, _widths(rows, WIDEST))
    if width is None:
        return lines
    return [line if len(line) <= width else "  ".join(filter(None, row)) for row, line in zip(rows, lines)]


def _row(net: Net, layer: Layer, blob_shapes: Sequence[Shape], fate: str) -> Tuple[str, ...]:
    tops = ", ".join(f"{value.blob} {_dims(net.shapes[value])}" for value in net.tops(layer))
    wires = f"{', '.join(layer.bottoms)} -> {tops}" if layer.bottoms else f"-> {tops}"
    blobs = " ".join(map(_dims, blob_shapes))
    return tuple(shown(cell) for cell in (layer.name, layer.type, wires, blobs, fate))


def _grouped(model: Model, plan: Plan, width: int) -> List[str]:
    """A line for each layer with what it takes in; a block of such lines that repeats is there once."""
    steps = [step for step in plan.steps if step.by is None]
    rows = [_HEAD, *(_short_row(model, step, before) for step, before in zip(steps, [None, *steps]))]
    widths = _widths(rows, width // 3)
    names_width = max(_NAME, width - sum(widths[1:3]) - 6 - _FATE)
    rows = [(without_middle(name, names_width), *others) for name, *others in rows]
    widths[0] = max(len(row[0]) for row in rows)
    if sum(widths[:4]) + 8 + _FATE > width:  # where there is no room for weights
        rows, widths = [(*row[:3], row[4]) for row in rows], [*widths[:3], widths[4]]
    head, *lines = _aligned(rows, widths)
    names = {name for layer in model.net.layers for name in (layer.name, *layer.bottoms, *layer.tops)}
    found = [head]
    alike = [_signature(model, step, before, names) for step, before in zip(steps, [None, *steps])]
    for first, size, times in blocks(alike):
        found += lines[first : first + size]
        if times > 1:
            last = steps[first + size * times - 1].layer.name
            these = "this layer" if size == 1 else f"these {size} layers"
            more = "once" if times == 2 else f"{times - 1} times"
            found.append(shown(f"    {these} {more} more, up to {last}"))
    start = sum(widths[:-1]) + 2 * (len(widths) - 1)
    indent = start if start + _FATE <= width else 4
    return [part for line in found for part in fitted(line, width, indent)]


def _short_row(model: Model, step: Step, before: Optional[Step]) -> Tuple[str, ...]:
    layer = step.layer
    tops = " ".join(_dims(model.net.shapes[value])[1:-1] for value in model.net.tops(layer))
    weights = " ".join(_dims(shape)[1:-1] for shape in _blobs(model, layer))
    cells = (layer.name, layer.type, tops, weights, "; ".join(filter(None, (_origin(step, before), _short_fate(step)))))
    return tuple(map(shown, cells))


def _origin(step: Step, before: Optional[Step]) -> str:
    """The bottoms, if they are not simply the top of the line above."""
    if not step.layer.bottoms or before is None:
        return ""
    if step.layer.bottoms in (layer.tops for layer in (before.layer, *before.taken_in)):
        return ""
    return f"from {few(without_middle(name, _FATE - 1) for name in step.layer.bottoms)}"


def _short_fate(step: Step) -> str:
    """With types in place of the names of the layers taken in, which are hardly ever news."""
    return f"absorbs {few(layer.type for layer in step.taken_in)}" if step.fate.startswith("absorbs ") else step.fate


def _signature(model: Model, step: Step, before: Optional[Step], names: Collection[str]) -> Hashable:
    """What layers that repeat have in common: all but names, and sizes other than those of kernels."""
    words = tuple("*" if word in names else word for word in re.split(r"[ ,;:]+", _short_fate(step)))
    bottoms = len(step.layer.bottoms) if _origin(step, before) else 0
    kernels = tuple(() if shape is None else shape[2:] for shape in _blobs(model, step.layer))
    return step.layer.type, bottoms, len(step.layer.tops), kernels, words


def _widths(rows: Sequence[Sequence[str]], most: int) -> List[int]:
    """Of the columns; cells wider than `most` stand out."""
    return [max((len(cell) for cell in column if len(cell) <= most), default=0) for column in zip(*rows)]


def _aligned(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> List[str]:
    columns = [*widths[:-1], 0]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, columns)).rstrip() for row in rows]


def _blobs(model: Model, layer: Layer) -> Sequence[Shape]:
    """The shapes of a layer's blobs; without a weight file those that the net implies, not those of placeholders."""
    if model.weights is None:
        return expected_shapes(model.net, layer) or ()
    return [blob.shape for blob in layer.blobs]


def _dims(shape: Shape) -> str:
    return "(?)" if shape is None else "(" + "x".join("?" if dim is None else str(dim) for dim in shape) + ")"
