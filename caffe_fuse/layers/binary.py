"""Layers of forks that compute with the signs of their weights: BinaryConvolution, BinaryInnerProduct.

    w' = mean(|w|) * sign(w)        for each output channel (hwgq: binary_conv_layer.cpp)

Other forks clamp w, or leave out the mean.

A scale would have to go into the mean, which not every fork has, so that nothing is folded into them.
"""

from __future__ import annotations

from . import convolution, inner_product
from .layer_type import LayerType

_WHY = "computes with the signs of its weights: not every Caffe that has it would keep a scale in them"


def _of_signs(plain: LayerType) -> LayerType:
    return LayerType(f"Binary{plain.name}", plain.shapes, plain.blobs, unabsorbing=_WHY, foreign=True)


LAYER_TYPES = tuple(
    _of_signs(each)
    for each in (*convolution.LAYER_TYPES, *inner_product.LAYER_TYPES)
    if each.name in ("Convolution", "InnerProduct")
)
