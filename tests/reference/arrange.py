"""Layers that move values without changing them, and those that reduce or select."""

from __future__ import annotations

from typing import List

import numpy as np

from .rules import CaffeAbort, Layer, canonical, layer_type


@layer_type("Split")
def split(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return [bottoms[0].copy() for _ in layer.parameter.top]


@layer_type("Silence")
def silence(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return []


@layer_type("Parameter", learns=True)
def parameter(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return layer.blobs(tuple(layer.parameter.parameter_param.shape.dim))


@layer_type("Concat")
def concat(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    p = layer.parameter.concat_param
    axis = p.concat_dim if p.HasField("concat_dim") else p.axis
    return [np.concatenate(bottoms, canonical(axis, bottoms[0].ndim))]


@layer_type("Slice")
def slices(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: slice_layer.cpp."""
    p = layer.parameter.slice_param
    axis = canonical(p.slice_dim if p.HasField("slice_dim") else p.axis, bottoms[0].ndim)
    count = len(layer.parameter.top)
    if p.slice_point:
        if len(p.slice_point) != count - 1:
            raise CaffeAbort(f"layer {layer.parameter.name}: {len(p.slice_point)} slice points for {count} tops")
        return np.split(bottoms[0], list(p.slice_point), axis)
    if bottoms[0].shape[axis] % count:
        raise CaffeAbort(f"layer {layer.parameter.name}: {bottoms[0].shape[axis]} in {count} equal parts")
    return np.split(bottoms[0], count, axis)


@layer_type("Flatten")
def flatten(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    p = layer.parameter.flatten_param
    shape = bottoms[0].shape
    start, end = canonical(p.axis, len(shape)), canonical(p.end_axis, len(shape))
    return [bottoms[0].reshape((*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :]))]


def _pixels(x: np.ndarray, r: int) -> np.ndarray:
    """Synopsys: element by element, as reshape_layer.cpp Forward_cpu counts them."""
    num, channels, height, width = x.shape
    top = np.empty((num, channels // r**2, height * r, width * r), x.dtype)
    for c in range(channels):
        top[:, c // r**2, c // r % r :: r, c % r :: r] = x[:, c]
    return top


@layer_type("Reshape")
def reshape(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: reshape_layer.cpp, dim 0 copies the bottom's, -1 takes what is left; axis -1 is the end."""
    p = layer.parameter.reshape_param
    shape = bottoms[0].shape
    if p.pixelshuffler != 1:
        return [_pixels(bottoms[0], p.pixelshuffler)]
    start = p.axis if p.axis >= 0 else len(shape) + p.axis + 1
    end = len(shape) if p.num_axes == -1 else start + p.num_axes
    middle = [shape[start + place] if dim == 0 else dim for place, dim in enumerate(p.shape.dim)]
    return [bottoms[0].reshape((*shape[:start], *middle, *shape[end:]))]


@layer_type("Crop")
def crop(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: crop_layer.cpp, one offset serves all axes from `axis` on."""
    p = layer.parameter.crop_param
    values, like = bottoms
    first = canonical(p.axis, values.ndim)
    index = [slice(None)] * first
    for place, size in enumerate(like.shape[first:]):
        offset = 0 if not p.offset else p.offset[place if len(p.offset) > 1 else 0]
        if offset + size > values.shape[first + place]:
            raise CaffeAbort(f"layer {layer.parameter.name}: the crop leaves the blob at axis {first + place}")
        index.append(slice(offset, offset + size))
    return [values[tuple(index)]]


@layer_type("Tile")
def tile(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    p = layer.parameter.tile_param
    axis = canonical(p.axis, bottoms[0].ndim)
    return [np.concatenate([bottoms[0]] * p.tiles, axis)]


@layer_type("Reduction")
def reduction(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: reduction_layer.cpp, all axes from `axis` on become one value."""
    p = layer.parameter.reduction_param
    axis = canonical(p.axis, bottoms[0].ndim)
    rows = bottoms[0].reshape((*bottoms[0].shape[:axis], -1))
    operation = p.ReductionOp.Name(p.operation)
    if operation == "ASUM":
        rows = np.abs(rows)
    elif operation == "SUMSQ":
        rows = rows**2
    return [p.coeff * (rows.mean(-1) if operation == "MEAN" else rows.sum(-1))]


@layer_type("ArgMax")
def argmax(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: argmax_layer.cpp, of equal values the later comes first."""
    p = layer.parameter.argmax_param
    bottom = bottoms[0]
    if p.HasField("axis"):
        axis = canonical(p.axis, bottom.ndim)
        values = np.moveaxis(bottom, axis, -1)
        order = _largest(values, p.top_k)
        chosen = np.take_along_axis(values, order, -1) if p.out_max_val else order
        return [np.moveaxis(chosen, -1, axis)]
    rows = bottom.reshape(len(bottom), -1)
    order = _largest(rows, p.top_k)
    parts = [order, np.take_along_axis(rows, order, -1)] if p.out_max_val else [order]
    shape = (len(bottom), len(parts), p.top_k) + (1,) * (bottom.ndim - 3)
    return [np.stack(parts, 1).reshape(shape)]


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(values, -1, kind="stable")[..., ::-1][..., :count]


@layer_type("BatchReindex")
def batch_reindex(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return [bottoms[0][bottoms[1].astype(int)]]


@layer_type("Filter")
def select(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: filter_layer.cpp, the last bottom chooses items of the batch."""
    chosen = np.flatnonzero(bottoms[-1])
    return [bottom[chosen] for bottom in bottoms[:-1]]


@layer_type("Input")
def missing_input(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    raise KeyError(f"no value is given for the input {layer.parameter.top[0]}")
