"""Layers of Caffe's forks, each as in the fork that its docstring names."""

from __future__ import annotations

from typing import Any, List

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
    if p.HasField("var_eps") or p.HasField("moving_average") or p.HasField("decay"):  # SenseTime
        eps = p.var_eps if p.HasField("var_eps") else 1e-10
    return [(bottom - blobs[2]) / np.sqrt(blobs[3] + layer.dtype.type(eps)) * blobs[0] + blobs[1]]


def is_foreign(layer: Layer) -> bool:
    """Returns whether a BatchNorm is not BVLC's, by its settings or by the count of its blobs."""
    p = layer.parameter.batch_norm_param
    names = {field.name for field, _ in p.ListFields()}
    known = {"use_global_stats", "moving_average_fraction", "moving_averaging_fraction", "eps", "engine"}
    return len(layer.stored) in (4, 5) or not names <= known


@layer_type("CuDNNBatchNorm", learns=True)
def batch_norm(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """NVIDIA, Xilinx, Intel, Cambricon, Synopsys, happynear, MNN: batch_norm_layer.cpp of each."""
    p = layer.parameter.batch_norm_param
    bottom = bottoms[0]
    found = _statistics(layer, [layer.stored[place].numbers.astype(layer.dtype) for place in sorted(layer.stored)])
    mean, variance, scale, shift = (along(values, 1, bottom.ndim) for values in found)
    eps = layer.dtype.type(p.eps)
    if p.HasField("scale_bias") or (len(layer.stored) == 5 and layer.stored[2].numbers.size == 1 and _is_nvidia(p)):
        eps = max(eps, layer.dtype.type(np.float32(1e-5)))
    deviation = np.sqrt(variance + eps)
    if p.HasField("add_eps_before_sqrt") and not p.add_eps_before_sqrt:
        deviation = np.sqrt(variance) + eps
    centred = bottom if p.disable_mean else bottom - mean
    top = (centred if p.disable_variance else centred / deviation) * scale + shift
    return [np.maximum(top, 0) if p.relu else top]


def _is_nvidia(p: Any) -> bool:
    return any(p.HasField(name) for name in ("scale_bias", "scale_filler", "bias_filler"))


def _statistics(layer: Layer, blobs: List[np.ndarray]) -> List[np.ndarray]:
    """Returns mean, variance, scale and shift, by the sizes of the blobs. NotComputed if these are ambiguous."""
    p = layer.parameter.batch_norm_param
    sizes = [blob.size for blob in blobs]
    last_is_single = sizes[-1] == 1 < sizes[0]
    if len(blobs) == 5 and last_is_single and layer.is_test:
        return [blobs[2], blobs[3], blobs[0], blobs[1]]
    is_global = p.use_global_stats if p.HasField("use_global_stats") else layer.is_test
    if len(blobs) == 5 and _is_nvidia(p):
        is_global = layer.is_test
    if not is_global or sizes[0] == 1:
        raise NotComputed
    rest = [np.ones_like(blobs[0]), np.zeros_like(blobs[0])]
    if layer.parameter.type == "CuDNNBatchNorm" and not (len(blobs) == 3 and last_is_single):
        return (blobs + rest[len(blobs) - 2 :])[:4]
    rest = (blobs[3:] + rest[len(blobs) - 3 :])[:2]
    is_intel = len(blobs) == 4 or p.relu or p.use_weight_bias or p.HasField("bias_term")
    if len(blobs) == 5 and not is_intel and not p.use_alpha_beta:
        if not _is_nvidia(p):
            raise NotComputed
        return [blobs[0], blobs[1], *rest]
    factor = 0 if blobs[2][0] == 0 else 1 / blobs[2][0]
    return [blobs[0] * factor, blobs[1] * factor, *rest]


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
    """One bottom, YOLOv3: each value repeated. Two, SegNet: each value to where the mask of a pooling says."""
    p = layer.parameter.upsample_param
    values = bottoms[0]
    if len(bottoms) == 1:
        if p.mode != p.NEAREST:
            raise NotComputed
        return [values.repeat(p.scale_h or p.scale, 2).repeat(p.scale_w or p.scale, 3)]
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
    """PSPNet, DeepLab: interp_layer.cpp, bilinear with corners aligned. A second bottom has the size of the top."""
    p = layer.parameter.interp_param
    if p.pad_beg > 0 or p.pad_end > 0:
        raise NotComputed
    height, width = bottoms[0].shape[2:]
    top = bottoms[0][..., -p.pad_beg : height + p.pad_end, -p.pad_beg : width + p.pad_end]
    wanted = (p.height, p.width) if len(bottoms) == 1 else bottoms[1].shape[2:]
    for axis, size in zip((2, 3), wanted):
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


@layer_type("BatchToSpaceND")
def batch_to_space(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Synopsys, as TensorFlow: image b * num + n of the batch fills the elements of image n at the offset that is b."""
    p = layer.parameter.batch_to_space_nd_param
    values, blocks = bottoms[0], list(p.block_shape)
    num = len(values) // int(np.prod(blocks))
    rest = values.shape[1 + len(blocks) :]
    sizes = [size * block for size, block in zip(values.shape[1:], blocks)]
    whole = np.empty((num, *sizes, *rest), values.dtype)
    for b, offset in enumerate(np.ndindex(*blocks)):
        into = tuple(slice(start, None, block) for start, block in zip(offset, blocks))
        whole[(slice(None), *into)] = values[b * num : (b + 1) * num]
    ends = list(p.crops) or [0] * (2 * len(blocks))
    inside = tuple(slice(a, size - b) for size, a, b in zip(sizes, ends[::2], ends[1::2]))
    return [whole[(slice(None), *inside)]]


@layer_type("SpaceToBatchND")
def space_to_batch(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """The inverse, after padding with zeros."""
    p = layer.parameter.space_to_batch_nd_param
    blocks = list(p.block_shape)
    ends = list(p.paddings) or [0] * (2 * len(blocks))
    pads = [(0, 0), *zip(ends[::2], ends[1::2])]
    wide = np.pad(bottoms[0], pads + [(0, 0)] * (bottoms[0].ndim - len(pads)))
    parts = []
    for offset in np.ndindex(*blocks):
        parts.append(wide[(slice(None), *(slice(start, None, block) for start, block in zip(offset, blocks)))])
    return [np.concatenate(parts)]
