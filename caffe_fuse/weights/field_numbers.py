"""The three generations of layers in a caffemodel: `layer`; before 2014 `layers`, at first with a `layer` in it.

Their form in a prototxt is in caffe_fuse/generations/.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Generation(NamedTuple):
    """Field numbers: of the layers in a NetParameter, and of the fields that are used in a layer.

    nested: the message inside a layer that holds all but bottom, top and conditions; 0 if there is none.
    with_bias_term: convolution_param and inner_product_param. bias_term: in those, or in the layer if it has neither.
    conditions: phase, include, exclude, and propagate_down, none of which depends on the layer's type.
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
        """The fields that a layer keeps if its type changes."""
        return (self.name, self.type, self.bottom, self.top, self.blobs, *self.conditions)


V2 = Generation("V2", 100, 0, 1, 2, 3, 4, 7, (106, 117), 2, (8, 9, 10, 11))
V1 = Generation("V1", 2, 0, 4, 5, 2, 3, 6, (10, 17), 2, (32, 33))
V0 = Generation("V0", 2, 1, 1, 2, 2, 3, 50, (), 4, ())
# By label.
GENERATIONS = {generation.label: generation for generation in (V2, V1, V0)}
