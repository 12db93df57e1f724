"""Predicts the ranges of a net's activations from its BatchNorms, without data.

A BatchNorm stores the mean and the deviation of its bottom, and its scale and shift give the range of its top for k
deviations. The other layers propagate ranges (layers/ranges.py). Inputs unlike the training data may exceed them: this
is an estimate, not a bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import layers
from ..layers.layer_type import Refusal
from ..layers.ranges import UNKNOWN, Passage, Range, between
from ..net.graph import Layer, Net, Value

if TYPE_CHECKING:
    from ..layers.layer_type import Doubles
    from ..passes import Progress
    from ..rescale.rescale import Exponents

SIGMAS = 6.0

Known = Mapping[Value, Range]


def predicted(net: Net, sigmas: float = SIGMAS, inputs: Optional[Mapping[str, Tuple[float, float]]] = None) -> Known:
    """The range of every value. inputs: blob name -> lowest and highest value, where they are known."""
    given = {name: between(*ends) for name, ends in (inputs or {}).items()}
    norms = {layer.index: norm for layer in net.layers for norm in [_norm(layer, sigmas)] if norm is not None}
    measured: Dict[Value, Range] = {}
    for layer in net.layers:
        if layer.index in norms:
            measured.setdefault(net.bottoms(layer)[0], norms[layer.index].bottom)
    known = {Value(name, 0): given.get(name, UNKNOWN) for name in net.inputs}
    known = {value: _settled(net, value, carried, measured) for value, carried in known.items()}
    for layer in net.layers:
        if layer.index in norms:
            tops = [norms[layer.index].top]
        elif not layer.bottoms:
            tops = [given.get(name, UNKNOWN) for name in layer.tops]
        else:
            tops = _carried(net, layer, [known[value] for value in net.bottoms(layer)])
        known.update({value: _settled(net, value, top, measured) for value, top in zip(net.tops(layer), tops)})
        known.update({value: UNKNOWN for value, writer in net.memory.disturbed.items() if writer is layer})
    return known


class Norm(NamedTuple):
    """The ranges of the bottom and the top of a BatchNorm, by its statistics."""

    bottom: Range
    top: Range


def _norm(layer: Layer, sigmas: float) -> Optional[Norm]:
    """The ranges around a BatchNorm; None for other layers, and where its statistics are not stored or not used."""
    layer_type = layer.layer_type
    if layer_type is None or layer_type.statistics is None or (len(layer.bottoms), len(layer.tops)) != (1, 1):
        return None
    parted = None if layer_type.parted is None else layer_type.parted(layer.parameter)
    parameter = layer.parameter if parted is None else parted[0]
    statistics = layer_type.statistics(parameter, [blob.array() for blob in layer.blobs])
    if isinstance(statistics, Refusal) or statistics.variance is None:
        return None
    with np.errstate(all="ignore"):
        bottom = _around(statistics.mean, np.sqrt(np.maximum(statistics.variance, 0)), sigmas)
        top = _around(statistics.shift, statistics.scale, sigmas)
    if not (bottom.bounded and top.bounded):
        return None
    return Norm(bottom, top if parted is None else _through(parted[1], top))


def _through(parameter: Any, bottom: Range) -> Range:
    """The range after the activation that a layer contains."""
    layer_type = layers.find(parameter.type)
    assert layer_type is not None
    assert layer_type.ranges is not None
    return layer_type.ranges(Passage(parameter, (), [bottom], [None], [None]))[0]


def _around(middle: Doubles, deviation: Doubles, sigmas: float) -> Range:
    reach = sigmas * np.abs(deviation)
    return Range(middle - reach, middle + reach)


def _settled(net: Net, value: Value, carried: Range, measured: Known) -> Range:
    """The range that a BatchNorm measured, within the one that the layers before it allow; else the latter."""
    settled = carried
    if value in measured:
        settled = measured[value]
        limits = carried if carried.channels in (1, settled.channels) else carried.whole()
        settled = Range(*(np.minimum(np.maximum(ends, limits.lows), limits.highs) for ends in settled))
    shape = net.shapes[value]
    channels = None if shape is None else (shape[1] if len(shape) > 1 else 1)
    # Statistics of another size are refused by the fold; here the range is unknown.
    return settled if settled.channels == 1 or channels in (None, settled.channels) else UNKNOWN


def _carried(net: Net, layer: Layer, bottoms: Sequence[Range]) -> List[Range]:
    """The ranges of the tops of one layer."""
    layer_type, unknown = layer.layer_type, [UNKNOWN] * len(layer.tops)
    if (
        layer_type is None
        or layer_type.ranges is None
        or (layer_type.most is not None and len(bottoms) > layer_type.most)
    ):
        return unknown
    shapes, top_shapes = ([net.shapes[value] for value in side] for side in (net.bottoms(layer), net.tops(layer)))
    blobs = [blob.array() for blob in layer.blobs]
    tops = layer_type.ranges(Passage(layer.parameter, blobs, bottoms, shapes, top_shapes))
    return [*tops, *unknown[len(tops) :]]


def origins(before: Net, progress: Progress, after: Net) -> Dict[Value, Value]:
    """The values of a folded net, `after`, that exist in the net before too, each with its counterpart there."""
    values = {layer.index: before.tops(layer) for layer in before.layers}
    writers = progress.writers
    parted = {layer.follows for layer in after.layers if layer.follows is not None}
    origin = {Value(name, 0): Value(name, 0) for name in after.inputs}
    for layer in after.layers:
        # A new layer is the activation that ended the one before it.
        index = layer.index if layer.follows is None else layer.follows
        ended = parted if layer.follows is None else frozenset()
        sources: Sequence[Optional[Value]] = () if index in ended else values[index]
        if index in writers:
            sources = [
                None if each is None or each.index in ended else values[each.index][0] for each in writers[index]
            ]
        origin.update({top: source for top, source in zip(after.tops(layer), sources) if source is not None})
    return origin


def multiplied(original: Range, exponents: Exponents) -> Range:
    """The range of a value after its channels were multiplied by powers of two."""
    powers = np.ldexp(1.0, np.array(exponents.of))
    if exponents.axis == 1:
        return Range(original.lows * powers, original.highs * powers)
    both = [Range(original.lows * power, original.highs * power).whole() for power in (powers.min(), powers.max())]
    return Range(np.minimum(*(each.lows for each in both)), np.maximum(*(each.highs for each in both)))
