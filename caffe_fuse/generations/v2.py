"""Features of old V2 nets that Caffe upgrades, too."""

from __future__ import annotations

from typing import Any, Optional

from ..errors import InputError
from ..schema import messages as schema

INPUT_FIELDS = ("input", "input_shape", "input_dim")


def input_layer(net: Any) -> Optional[Any]:
    """The Input layer for the `input` fields of a NetParameter; None if the net has no shapes for them.

    Caffe: upgrade_proto.cpp:968-1003 UpgradeNetInput. Raises InputError if only some inputs have a shape.
    """
    if not net.input_shape and not net.input_dim:
        return None
    parameter = schema.new("LayerParameter")
    parameter.name, parameter.type = "input", "Input"
    parameter.top.extend(net.input)
    for place, name in enumerate(net.input):
        shape = parameter.input_param.shape.add()
        if net.input_shape:
            dims = net.input_shape[place].dim if place < len(net.input_shape) else ()
        else:
            dims = net.input_dim[4 * place : 4 * place + 4]
        if not dims or (not net.input_shape and len(dims) < 4):
            raise InputError(f"input {name} has no shape, but other inputs have one", remedy="give each input its own")
        shape.dim.extend(dims)
    return parameter


def without_learning(parameter: Any) -> Any:
    """A BatchNorm that has a `param` for each of its three blobs, with learning rate 0; any other layer unchanged.

    Caffe: upgrade_proto.cpp:1005-1032 UpgradeNetBatchNorm; batch_norm_layer.cpp:39-48 rejects other values.
    """
    if parameter.type != "BatchNorm" or len(parameter.param) != 3:
        return parameter
    fixed = schema.copy_of(parameter)
    for spec in fixed.param:
        spec.lr_mult = spec.decay_mult = 0
    return fixed
