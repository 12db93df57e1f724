"""Runs a model as a library call: checks the inputs, the blobs asked for and the precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Union

import numpy as np

from ..argument_types import INTEGER, Kind, expect, names
from ..errors import InputError, SystemFailure
from ..layers.layer_type import Shape
from ..layers.shapes import text
from ..net.graph import Net
from ..net.model import MODEL, Model
from ..spelling import did_you_mean
from .forward import PRECISIONS, Precision, PrecisionName, is_source, run_net

if TYPE_CHECKING:
    from numpy.typing import NDArray


PRECISION = Kind("the name of a precision, or a Precision,", (str, Precision))


def run(
    model: Model,
    inputs: Optional[Mapping[str, Any]] = None,
    *,
    precision: Union[PrecisionName, Precision] = "float32",
    blobs: Union[str, Sequence[str]] = "outputs",
    seed: int = 0,
) -> Dict[str, NDArray[Any]]:
    """The blobs of the net, by name: the last value of each, as in Caffe's `net.blobs`.

    inputs: an array for each input of the net, of any size that its layers can take; None: `seeded` ones.
    precision: "float32" as Caffe, "float64", "half", or a Precision; arrays are float64 for "float64", else float32.
    blobs: "outputs", "all", or names. Of "outputs" and "all" those that cannot be computed are left out.
    Raises InputError for inputs that do not fit, for a named blob that cannot be computed, and if none can be;
    SystemFailure if there is not enough memory; TypeError for a wrong type.
    """
    expect(MODEL, model=model)
    expect(PRECISION, precision=precision)
    require_weights(model)
    chosen = precision if isinstance(precision, Precision) else PRECISIONS.get(precision)
    if chosen is None:
        raise InputError(f"precision {precision!r} is not known", remedy=f"choose from {', '.join(PRECISIONS)}")
    wanted = _wanted(model.net, blobs)
    try:
        values = seeded(model.net, seed) if inputs is None else checked(model.net, inputs)
        outcome = run_net(model.net, values, chosen, wanted)
    except MemoryError as error:
        raise SystemFailure(f"the memory is too small for a run: {error}", where=model.document.path) from error
    if outcome.unavailable and (not isinstance(blobs, str) or not outcome.values):
        name, reason = next(iter(outcome.unavailable.items()))
        raise InputError(f"blob {name} cannot be computed: {reason}", where=model.document.path)
    return {name: outcome.values[name] for name in wanted if name in outcome.values}


def require_weights(model: Model) -> None:
    if model.weights is None and any(layer.blobs for layer in model.net.layers):
        raise InputError("no weights to run with", where=model.document.path, remedy="load the net with its weights")


def _wanted(net: Net, blobs: Union[str, Sequence[str]]) -> Sequence[str]:
    if blobs == "all":
        return net.blob_names
    if blobs == "outputs":
        return list(dict.fromkeys(value.blob for value in net.outputs))
    wanted = names(blobs=blobs)
    for name in wanted:
        if name not in net.blob_names:
            hint = did_you_mean(name, net.blob_names)
            raise InputError(f"the net has no blob {name}{hint}", remedy=f"its last one is {net.blob_names[-1]}")
    return wanted


def input_shapes(net: Net) -> Dict[str, Shape]:
    """The inputs of the net in its order, with their shapes as far as they are known."""
    shapes = dict(net.inputs)
    for layer in net.layers:
        if is_source(layer):
            shapes.update({value.blob: net.shapes[value] for value in net.tops(layer)})
    return shapes


def seeded(net: Net, seed: int) -> Dict[str, NDArray[np.float32]]:
    """Random inputs from -120 to 135, as of an image less its mean: `RandomState(seed).rand(*shape) * 255 - 120`.

    One generator fills the inputs in their order. Inputs whose shape is not known are left out.
    """
    expect(INTEGER, seed=seed)
    try:
        random = np.random.RandomState(seed)
    except ValueError:
        raise InputError(f"seed {seed!r} is not valid", remedy="give a whole number from 0 to 4294967295") from None
    known = {name: shape for name, shape in input_shapes(net).items() if shape is not None and None not in shape}
    for name, shape in known.items():
        if 0 in shape:
            raise InputError(
                f"input {name} is {text(shape)}, which has no elements",
                remedy=f"give another shape with --input-shape {name}=1,3,224,224",
            )
    return {name: np.asarray(random.rand(*shape) * 255 - 120, np.float32) for name, shape in known.items()}


def checked(net: Net, inputs: Mapping[str, Any]) -> Dict[str, NDArray[Any]]:
    """The inputs as arrays.

    Raises InputError for an unknown name, and for values that do not fit the input; TypeError for what is no dict.
    """
    shapes = input_shapes(net)
    expect(Kind(f"a dict with an array for each of {', '.join(shapes)}", (Mapping,)), inputs=inputs)
    arrays = {}
    for name, values in inputs.items():
        if name not in shapes:
            inputs_are = f"its inputs are: {', '.join(shapes) or 'none'}"
            raise InputError(f"the net has no input {name}{did_you_mean(name, shapes)}", remedy=inputs_are)
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise InputError(f"input {name} is not an array: {error}", remedy="give rows of equal length") from error
        if array.dtype.kind not in "fiub":
            raise InputError(f"input {name} is of type {array.dtype}, expected numbers")
        declared = shapes[name]
        if array.size == 0 or (declared is not None and len(declared) != array.ndim):
            raise InputError(f"input {name} is {text(array.shape)}, the net expects {text(declared)}")
        arrays[name] = array
    return arrays
