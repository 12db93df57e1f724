"""Layers of Caffe's forks, each after the fork that its docstring names."""

from __future__ import annotations

from typing import List

import numpy as np

from .rules import CaffeAbort, Layer, NotComputed, along, layer_type


@layer_type("BN", learns=True)
def bn(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """SegNet, ENet: scale, shift. PSPNet: slope, bias, mean, variance, each 1 x C x 1 x 1."""
    p = layer.parameter.bn_param
    bottom = bottoms[0]
    count = len(layer.stored)
    if count not in (2, 4) or not layer.is_test or (count == 2 and p.bn_mode != p.INFERENCE):
        raise NotComputed
    stored = layer.blobs(*[(1, bottom.shape[1], 1, 1)] * count)
    blobs = [along(blob.reshape(-1), 1, bottom.ndim) for blob in stored]
    if count == 2:
        return [bottom * blobs[0] + blobs[1]]
    eps = p.eps if p.HasField("eps") else 1e-5
    return [(bottom - blobs[2]) / np.sqrt(blobs[3] + layer.dtype.type(eps)) * blobs[0] + blobs[1]]


@layer_type("Permute")
def permute(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """SSD: permute_layer.cpp, axes that are not named follow in order."""
    order = list(layer.parameter.permute_param.order)
    order += [axis for axis in range(bottoms[0].ndim) if axis not in order]
    return [np.transpose(bottoms[0], order)]


@layer_type("Normalize", learns=True)
def normalize(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """SSD: normalize_layer.cpp."""
    p = layer.parameter.norm_param
    bottom = bottoms[0]
    shape = () if p.channel_shared else (bottom.shape[1],)
    scale = layer.blobs(shape)[0]
    axes = (1, 2, 3) if p.across_spatial else (1,)
    length = np.sqrt((bottom**2).sum(axes, keepdims=True) + layer.dtype.type(p.eps))
    return [bottom / length * (scale if p.channel_shared else along(scale, 1, bottom.ndim))]


@layer_type("ShuffleChannel")
def shuffle(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """ShuffleNet: channels as a table of `group` rows, transposed."""
    bottom = bottoms[0]
    table = bottom.reshape((len(bottom), layer.parameter.shuffle_channel_param.group, -1, *bottom.shape[2:]))
    return [np.swapaxes(table, 1, 2).reshape(bottom.shape)]


@layer_type("Axpy")
def axpy(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """SENet: axpy_layer.cpp, a scale for each channel of the second bottom, plus the third."""
    factor = bottoms[0].reshape((*bottoms[1].shape[:2], 1, 1))
    return [factor * bottoms[1] + bottoms[2]]


@layer_type("Upsample")
def upsample(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """One bottom, YOLOv3: each number repeated. Two, SegNet: back to where the mask of a pooling says."""
    p = layer.parameter.upsample_param
    values = bottoms[0]
    if len(bottoms) == 1:
        if p.mode != p.NEAREST:
            raise NotComputed
        return [values.repeat(p.scale, 2).repeat(p.scale, 3)]
    scale_h, scale_w = (p.scale_h, p.scale_w) if p.HasField("scale_h") else (p.scale, p.scale)
    height = p.upsample_h or values.shape[2] * scale_h - p.pad_out_h
    width = p.upsample_w or values.shape[3] * scale_w - p.pad_out_w
    top = np.zeros((*values.shape[:2], height * width), values.dtype)
    mask = bottoms[1].astype(int).reshape((*values.shape[:2], -1))
    if mask.max() >= height * width:
        raise CaffeAbort(f"layer {layer.parameter.name}: the mask leaves {height} x {width}")
    np.put_along_axis(top, mask, values.reshape(mask.shape), 2)
    return [top.reshape((*values.shape[:2], height, width))]


@layer_type("Interp")
def interpolate(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """PSPNet, DeepLab: interp_layer.cpp, bilinear with corners aligned."""
    p = layer.parameter.interp_param
    if p.pad_beg > 0 or p.pad_end > 0 or len(bottoms) > 1:
        raise NotComputed
    height, width = bottoms[0].shape[2:]
    top = bottoms[0][..., -p.pad_beg : height + p.pad_end, -p.pad_beg : width + p.pad_end]
    for axis, size in ((2, p.height), (3, p.width)):
        top = _stretch(top, axis, size or _interp_size(top.shape[axis], p.shrink_factor, p.zoom_factor))
    return [top]


def _interp_size(size: int, shrink: int, zoom: int) -> int:
    size = (size - 1) // shrink + 1
    return size + (size - 1) * (zoom - 1)


def _stretch(values: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Linear between the two nearest rows, the first and last row kept."""
    size = values.shape[axis]
    places = np.arange(count) * ((size - 1) / (count - 1) if count > 1 else 0.0)
    lower = np.minimum(places.astype(int), size - 1)
    upper = np.minimum(lower + 1, size - 1)
    share = along((places - lower).astype(values.dtype), axis, values.ndim)
    return np.asarray((1 - share) * values.take(lower, axis) + share * values.take(upper, axis))


@layer_type("Reorg")
def reorganise(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """YOLOv2 ports: as Darknet's reorg, which reads the blob as one of fewer and larger channels."""
    p = layer.parameter.reorg_param
    if p.reverse:
        raise NotComputed
    batch, channels, height, width = bottoms[0].shape
    stride = p.stride
    few = channels // stride**2
    wide = bottoms[0].reshape(batch, few, height, stride, width, stride)
    turned = wide.transpose(0, 3, 5, 1, 2, 4)
    return [turned.reshape(batch, channels * stride**2, height // stride, width // stride)]
