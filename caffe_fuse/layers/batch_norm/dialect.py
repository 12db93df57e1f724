"""A dialect of BatchNorm: how its layers are recognised, and the layer type of each.

y = (x - mean) / sqrt(variance + eps) * scale + shift        for each channel, axis 1
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ...schema.messages import copy_of, new
from ..layer_type import Affine, Dims, LayerType, Refusal, Shapes
from ..shapes import axis_of, blob_sizes, like_bottom, one_for_each, require
from .read import Statistics

if TYPE_CHECKING:
    from ..layer_type import Arrays, Doubles

# The roles of blobs with a single element.
_SINGLE = frozenset({"factor", "correction", "reserved"})

Reading = Callable[[Any, Mapping[str, "Doubles"]], Union[Statistics, Refusal]]


class Dialect(NamedTuple):
    """What one Caffe, or a family of them, means by a BatchNorm.

    layer: "BatchNorm" or "BN". orders: the roles of the blobs, in order; several if their count varies. fields: the
    settings that it understands; if another one is set, the layer is of another dialect. learned: settings that select
    the longest of `orders`. types: the type names that it is limited to. named_only: nothing in the files shows it, so
    the user has to name it.
    """

    name: str
    layer: str
    origin: str
    orders: Tuple[str, ...]
    fields: FrozenSet[str]
    read: Reading
    forward: Callable[[Any, Arrays, Arrays], List[Any]]
    learned: FrozenSet[str] = frozenset()
    types: Tuple[str, ...] = ()
    named_only: bool = False
    stored: Optional[Callable[[Any, Arrays, Arrays, Callable[[Any], Any]], List[Any]]] = None

    def order(self, parameter: Any, sizes: Sequence[int]) -> Optional[str]:
        """The roles of blobs of these sizes; None if this dialect has no such layer."""
        return next((order for order in self._orders(parameter) if _has_sizes(order, sizes)), None)

    def planned(self, parameter: Any) -> Optional[str]:
        """The roles of the blobs according to the text alone."""
        return next(iter(self._orders(parameter)), None)

    def layer_type(self, order: str) -> LayerType:
        """The layer type of a layer whose blobs are in this order."""
        return LayerType(
            self.layer,
            like_bottom,
            blobs=partial(_blob_shapes, order),
            affine=partial(_affine, self.read, order),
            forward=self.forward,
            parted=_parted,
            statistics=partial(_statistics, self.read, order),
            stored=self.stored,
            most=1,
            multiply_adds=one_for_each,
            foreign=self.layer == "BN",
        )

    def _orders(self, parameter: Any) -> Sequence[str]:
        """The orders that the text allows."""
        settings = {field.name: value for field, value in settings_of(self.layer, parameter).ListFields()}
        if (self.types and parameter.type not in self.types) or not self.fields >= set(settings):
            return ()
        is_learned = any(settings.get(name, False) is not False for name in self.learned)
        return self.orders[-1:] if is_learned else self.orders


def settings_of(layer: str, parameter: Any) -> Any:
    return parameter.bn_param if layer == "BN" else parameter.batch_norm_param


def unsettled(layer: str, refusal: Refusal) -> LayerType:
    """The layer type of layers whose dialect cannot be decided: they are kept, for this reason."""
    return LayerType(
        layer, like_bottom, affine=lambda *_: refusal, most=1, multiply_adds=one_for_each, foreign=layer == "BN"
    )


def _has_sizes(order: str, sizes: Sequence[int]) -> bool:
    roles = order.split()
    channels = {size for role, size in zip(roles, sizes) if role not in _SINGLE}
    singles = {size for role, size in zip(roles, sizes) if role in _SINGLE}
    return len(roles) == len(sizes) and len(channels) == 1 and singles <= {1}


def _blob_shapes(order: str, _parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    (bottom,) = require(bottoms, 1)
    channels = None if bottom is None else bottom[axis_of(1, len(bottom))]
    return [(1,) if role in _SINGLE else (channels,) for role in order.split()]


def _statistics(read: Reading, order: str, parameter: Any, blobs: Arrays) -> Union[Statistics, Refusal]:
    sizes = [blob.size for blob in blobs]
    if not _has_sizes(order, sizes):
        return Refusal(f"it has {blob_sizes(sizes)}, expected {order}")
    flat = (np.asarray(blob, dtype=np.float64).reshape(-1) for blob in blobs)
    with np.errstate(all="ignore"):
        return read(parameter, dict(zip(order.split(), flat)))


def _affine(read: Reading, order: str, parameter: Any, blobs: Arrays, _bottoms: Shapes) -> Union[Affine, Refusal]:
    statistics = _statistics(read, order, parameter, blobs)
    if isinstance(statistics, Refusal):
        return statistics
    with np.errstate(all="ignore"):
        scale = statistics.scale / statistics.deviation
        shift = statistics.shift - statistics.mean * scale
    for name, values in (("scale", scale), ("shift", shift)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            return Refusal(f"its {name} is {values[bad[0]]:g} in channel {bad[0]}")
    return Affine(1, scale, shift)


def _parted(parameter: Any) -> Optional[Tuple[Any, Any]]:
    """Intel: mkldnn_batch_norm_layer.cpp InitBatchNorm appends a ReLU of slope 0."""
    if not parameter.batch_norm_param.relu:
        return None
    normed, relu = copy_of(parameter), new("LayerParameter")
    normed.batch_norm_param.ClearField("relu")
    relu.type = "ReLU"
    return normed, relu
