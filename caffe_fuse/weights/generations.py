"""The two forms in which a caffemodel holds layers: `layer` since 2014, `layers` before (caffe.proto)."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Generation(NamedTuple):
    """Field numbers: of the layers in a NetParameter, and of what is needed in a layer.

    with_bias_term: convolution_param and inner_product_param. conditions: phase, include, exclude, and
    propagate_down, which like those does not depend on the layer's type.
    """

    label: str
    layers: int
    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    with_bias_term: Tuple[int, ...]
    conditions: Tuple[int, ...]

    @property
    def of_every_type(self) -> Tuple[int, ...]:
        """The fields that a layer keeps when it becomes one of another type."""
        return (self.name, self.type, self.bottom, self.top, self.blobs, *self.conditions)


V2 = Generation("V2", 100, 1, 2, 3, 4, 7, (106, 117), (8, 9, 10, 11))
V1 = Generation("V1", 2, 4, 5, 2, 3, 6, (10, 17), (32, 33))
# By the number of the layers' field.
GENERATIONS = {generation.layers: generation for generation in (V2, V1)}
