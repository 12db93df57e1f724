"""The three forms in which a caffemodel holds layers: `layer`, before 2014 `layers`, at first with a `layer` in it.

What they are in a prototxt is in caffe_fuse/generations/.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Generation(NamedTuple):
    """Field numbers: of the layers in a NetParameter, and of what is needed in a layer.

    nested: the message inside of a layer that holds all but bottom, top and conditions; 0 if they stand side by side.
    with_bias_term: convolution_param and inner_product_param. bias_term: in those, or with none in the layer itself.
    conditions: phase, include, exclude, and propagate_down, which like those does not depend on the layer's type.
    """

    label: str
    layers: int
    nested: int
    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    with_bias_term: Tuple[int, ...]
    bias_term: int
    conditions: Tuple[int, ...]

    @property
    def of_every_type(self) -> Tuple[int, ...]:
        """The fields that a layer keeps when it becomes one of another type."""
        return (self.name, self.type, self.bottom, self.top, self.blobs, *self.conditions)


V2 = Generation("V2", 100, 0, 1, 2, 3, 4, 7, (106, 117), 2, (8, 9, 10, 11))
V1 = Generation("V1", 2, 0, 4, 5, 2, 3, 6, (10, 17), 2, (32, 33))
V0 = Generation("V0", 2, 1, 1, 2, 2, 3, 50, (), 4, ())
# By their labels.
GENERATIONS = {generation.label: generation for generation in (V2, V1, V0)}
