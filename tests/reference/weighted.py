"""Convolution, Deconvolution, InnerProduct, Embed and their Im2col."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Tuple

import numpy as np

from .rules import CaffeAbort, Layer, NotComputed, Shape, along, canonical, filler, layer_type, same_pads, sided_pad

Index = Tuple[Any, ...]


@dataclass(frozen=True)
class Window:
    """A kernel that slides over the spatial axes."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        return tuple(step * (size - 1) + 1 for size, step in zip(self.kernel, self.dilation))

    def convolved(self, sizes: Shape) -> Shape:
        """Caffe: conv_layer.cpp compute_output_shape."""
        return tuple(
            (size + 2 * pad - extent) // stride + 1
            for size, pad, extent, stride in zip(sizes, self.pad, self.extent, self.stride)
        )

    def views(self, sizes: Shape) -> Iterator[Tuple[Index, Index]]:
        """Yields for each position in the kernel its index, and that of the elements it touches in a padded blob."""
        for place in np.ndindex(*self.kernel):
            steps = tuple(
                slice(offset * dilation, offset * dilation + stride * (size - 1) + 1, stride)
                for offset, dilation, stride, size in zip(place, self.dilation, self.stride, sizes)
            )
            yield (Ellipsis, *place), (Ellipsis, *steps)


def _numbers(repeated: Any, rank: int, default: int) -> Shape:
    """Caffe: base_conv_layer.cpp LayerSetUp, one value serves all axes."""
    if len(repeated) not in (0, 1, rank):
        raise CaffeAbort(f"{len(repeated)} numbers for {rank} spatial axes")
    return tuple(repeated) if len(repeated) == rank else (repeated[0] if repeated else default,) * rank


def window_of(p: Any, rank: int) -> Window:
    """Caffe: base_conv_layer.cpp LayerSetUp."""
    kernel = (p.kernel_h, p.kernel_w) if p.kernel_h or p.kernel_w else _numbers(p.kernel_size, rank, 0)
    stride = (p.stride_h, p.stride_w) if p.stride_h or p.stride_w else _numbers(p.stride, rank, 1)
    pad = sided_pad(p) or ((p.pad_h, p.pad_w) if p.pad_h or p.pad_w else _numbers(p.pad, rank, 0))
    if len(kernel) != rank or not all(kernel):
        raise CaffeAbort("the kernel needs a size above 0 for each spatial axis")
    dilation = (p.dilation_h, p.dilation_w) if p.dilation_h else _numbers(p.dilation, rank, 1)
    if p.hole or p.hole_h:  # PSPNet: hole_conv_layer.cpp
        dilation = (p.hole or p.hole_h, p.hole or p.hole_w)
    return Window(tuple(kernel), tuple(stride), tuple(pad), dilation)


def padded(values: np.ndarray, pads: Shape) -> np.ndarray:
    return np.pad(values, [(0, 0)] * (values.ndim - len(pads)) + [(pad, pad) for pad in pads])


def correlate(values: np.ndarray, weight: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """(N, Ci, spatial...) by (Co, Ci/groups, kernel...) yields (N, Co, spatial...)."""
    sizes = window.convolved(values.shape[2:])
    source = padded(values, window.pad)
    outputs = weight.shape[0]
    kernel = weight.reshape((groups, outputs // groups, *weight.shape[1:]))
    total = np.zeros((len(values), groups, outputs // groups, int(np.prod(sizes))), values.dtype)
    for place, view in window.views(sizes):
        part = source[view].reshape(len(values), groups, weight.shape[1], -1)
        total += np.ascontiguousarray(kernel[place]) @ part
    return total.reshape((len(values), outputs, *sizes))


def scatter(values: np.ndarray, weight: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """(N, Ci, spatial...) by (Ci, Co/groups, kernel...) yields (N, Co, spatial...): correlate transposed.

    Caffe: base_conv_layer.cpp:284-295, deconv_layer.cpp compute_output_shape.
    """
    sizes = values.shape[2:]
    full = tuple(s * (size - 1) + e for s, size, e in zip(window.stride, sizes, window.extent))
    outputs = weight.shape[1] * groups
    total = np.zeros((len(values), outputs, *full), values.dtype)
    source = values.reshape(len(values), groups, -1, int(np.prod(sizes)))
    kernel = weight.reshape((groups, weight.shape[0] // groups, *weight.shape[1:]))
    for place, view in window.views(sizes):
        turned = np.ascontiguousarray(np.swapaxes(kernel[place], 1, 2))
        total[view] += (turned @ source).reshape((len(values), outputs, *sizes))
    inside: Index = (Ellipsis, *(slice(pad, size - pad) for pad, size in zip(window.pad, full)))
    return total[inside]


def _convolve(layer: Layer, bottoms: List[np.ndarray], is_deconvolution: bool, is_depthwise: bool) -> List[np.ndarray]:
    p = layer.parameter.convolution_param
    axis = canonical(p.axis, bottoms[0].ndim)
    channels = bottoms[0].shape[axis]
    window = window_of(p, bottoms[0].ndim - axis - 1)
    groups = channels if is_depthwise else p.group
    if channels % groups or p.num_output % groups:
        raise CaffeAbort(f"layer {layer.parameter.name}: {groups} groups of {channels} and {p.num_output} channels")
    first, second = (channels, p.num_output) if is_deconvolution else (p.num_output, channels)
    shapes = [(first, second // groups, *window.kernel)] + [(p.num_output,)] * p.bias_term
    blobs = layer.blobs(*shapes, fillers=_fillers(layer, p))
    tops = []
    for bottom in bottoms:
        values = bottom.reshape((-1, *bottom.shape[axis:]))
        if p.pad_type == 1:
            if is_deconvolution or max(window.dilation) > 1:
                raise NotComputed
            pads = same_pads(values.shape[2:], window.kernel, window.stride)
            values = np.pad(values, [(0, 0), (0, 0), *pads])
        top = (scatter if is_deconvolution else correlate)(values, blobs[0], window, groups)
        if p.bias_term:
            top = top + along(blobs[1], 1, top.ndim)
        tops.append(top.reshape((*bottom.shape[:axis], *top.shape[1:])))
    return tops


def _fillers(layer: Layer, p: Any) -> List[float]:
    """Yields the fillers, evaluated only if a blob is absent, because random fillers have no value."""
    kinds = [p.weight_filler] + [p.bias_filler] * p.bias_term
    return [0.0 if index in layer.stored else filler(kind) for index, kind in enumerate(kinds)]


@layer_type("Convolution", "HoleConvolution", learns=True)
def convolution(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return _convolve(layer, bottoms, is_deconvolution=False, is_depthwise=False)


@layer_type("Deconvolution", learns=True)
def deconvolution(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return _convolve(layer, bottoms, is_deconvolution=True, is_depthwise=False)


@layer_type("ConvolutionDepthwise", "DepthwiseConvolution", "DepthwiseConv", learns=True)
def depthwise(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Forks' layers: one group for each channel, whatever `group` says.

    BVLC/caffe pull request 5665: conv_dw_layer. Forks' depthwise_conv_layer.cpp reads the kernel of channel c at
    c * kernel_h * kernel_w; X2Paddle and caffe2ncnn treat ConvolutionDepthwise and DepthwiseConvolution as one type.
    """
    return _convolve(layer, bottoms, is_deconvolution=False, is_depthwise=True)


@layer_type("Im2col")
def im2col(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: im2col_layer.cpp."""
    p = layer.parameter.convolution_param
    axis = canonical(p.axis, bottoms[0].ndim)
    window = window_of(p, bottoms[0].ndim - axis - 1)
    tops = []
    for bottom in bottoms:
        sizes = window.convolved(bottom.shape[axis + 1 :])
        source = padded(bottom, window.pad)
        columns = np.stack([source[view] for _, view in window.views(sizes)], axis + 1)
        tops.append(columns.reshape((*bottom.shape[:axis], -1, *sizes)))
    return tops


@layer_type("InnerProduct", learns=True)
def inner_product(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: inner_product_layer.cpp:16-47, 71-73."""
    return _product(layer, bottoms, np.matmul)


def inner_product_in_order(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Adds one product after the other, as a BLAS may do; one that adds in blocks rounds less."""

    def added(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        total = np.zeros((len(values), weight.shape[1]), values.dtype)
        for place, row in enumerate(weight):
            total += values[:, place : place + 1] * row
        return total

    return _product(layer, bottoms, added)


def _product(
    layer: Layer, bottoms: List[np.ndarray], multiply: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> List[np.ndarray]:
    p = layer.parameter.inner_product_param
    bottom = bottoms[0]
    axis = canonical(p.axis, bottom.ndim)
    inputs = int(np.prod(bottom.shape[axis:]))
    weight_shape = (inputs, p.num_output) if p.transpose else (p.num_output, inputs)
    blobs = layer.blobs(weight_shape, *[(p.num_output,)] * p.bias_term, fillers=_fillers(layer, p))
    weight = blobs[0] if p.transpose else blobs[0].T
    top = multiply(bottom.reshape(-1, inputs), weight)
    if p.bias_term:
        top = top + blobs[1]
    return [top.reshape((*bottom.shape[:axis], p.num_output))]


@layer_type("Embed", learns=True)
def embed(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: embed_layer.cpp."""
    p = layer.parameter.embed_param
    blobs = layer.blobs((p.input_dim, p.num_output), *[(p.num_output,)] * p.bias_term, fillers=_fillers(layer, p))
    top = blobs[0][bottoms[0].astype(int)]
    return [top + blobs[1] if p.bias_term else top]
