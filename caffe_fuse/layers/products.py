"""What the layers with weights compute, by a matrix product that the caller chooses."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Callable, List

from ..errors import InputError
from .shapes import axis_of
from .sliding import correlate, scatter
from .window import windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays
    from .sliding import Product


def _convolve(
    each: Callable[..., NDArray[Any]],
    filters: Callable[[Any, int], int],
    groups: Callable[[Any, int], int],
    parameter: Any,
    blobs: Arrays,
    bottoms: Arrays,
    product: Product,
) -> List[NDArray[Any]]:
    """Each bottom on its own; the axes before `axis` count images (Caffe: conv_layer.cpp Forward_cpu).

    filters, groups: how many there are, from the settings and the number of channels.
    """
    settings = parameter.convolution_param
    tops = []
    for bottom in bottoms:
        axis = axis_of(settings.axis, bottom.ndim)
        channels, slid = bottom.shape[axis], windows(settings, bottom.ndim - axis - 1)
        parts = groups(settings, channels)
        if filters(settings, channels) % parts:
            raise InputError(f"{parts} groups do not divide {filters(settings, channels)} filters")
        weights = blobs[0].reshape(parts, filters(settings, channels) // parts, -1)
        top = each(bottom.reshape(-1, *bottom.shape[axis:]), weights, slid, product)
        if settings.bias_term:
            top += blobs[1].reshape(-1, *(1,) * len(slid))
        tops.append(top.reshape(*bottom.shape[:axis], *top.shape[1:]))
    return tops


def _outputs(settings: Any, _channels: int) -> int:
    return int(settings.num_output)


def _inputs(_settings: Any, channels: int) -> int:
    return channels


def _given_groups(settings: Any, _channels: int) -> int:
    return int(settings.group)


convolve = partial(_convolve, correlate, _outputs, _given_groups)
convolve_each_channel = partial(_convolve, correlate, _outputs, _inputs)
deconvolve = partial(_convolve, scatter, _inputs, _given_groups)


def inner_product(parameter: Any, blobs: Arrays, bottoms: Arrays, product: Product) -> List[NDArray[Any]]:
    """Caffe: inner_product_layer.cpp Forward_cpu."""
    settings, (bottom,) = parameter.inner_product_param, bottoms
    axis = axis_of(settings.axis, bottom.ndim)
    rows = bottom.reshape(prod(bottom.shape[:axis]), -1)
    weights = blobs[0].reshape(blobs[0].shape[-2:])
    top = product(rows, weights if settings.transpose else weights.T, None)
    if settings.bias_term:
        top += blobs[1].reshape(-1)
    return [top.reshape(*bottom.shape[:axis], settings.num_output)]
