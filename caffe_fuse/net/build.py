"""Builds a Net from the two files: the layers that take part, and the inputs."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import generations, layers
from ..errors import InputError
from ..layers.layer_type import Shape
from ..layers.shapes import require_possible
from ..protobuf.text import Document, Message, Scalar
from ..schema import messages as schema
from ..schema import names
from ..spelling import hint, nearest
from ..weights.records import WeightFile
from ..wording import counted
from .bind import bind, strangers, with_placeholders
from .graph import Layer, Net
from .state import State, in_phase, state_of, takes_part


class Built(NamedTuple):
    net: Net
    excluded: Tuple[Layer, ...]
    warnings: Tuple[str, ...]


def build(
    document: Document,
    weights: Optional[WeightFile],
    state: State,
    input_shapes: Mapping[str, Shape],
    bn_dialect: Optional[str] = None,
) -> Built:
    """The net of a prototxt. Raises InputError if it is not a valid net, or the weights do not fit it."""
    everything = read_layers(document)
    if not everything:
        raise InputError("contains no layer", where=document.path, remedy="give the deploy prototxt of a Caffe net")
    state, warnings = state_of(document, state)
    included = [in_phase(layer, state) for layer in everything if takes_part(layer, state)]
    taking_part = {layer.index for layer in included}
    excluded = tuple(layer for layer in everything if layer.index not in taking_part)
    inputs = _net_inputs(document, included)
    warnings += _mixed(everything)
    for name, producer in _made_elsewhere(included, excluded, inputs).items():
        inputs[name] = None
        warnings.append(
            f"{producer.where}: blob {name} is produced by layer {producer.name}, which does not take part in this "
            "phase; it is taken for an input of the net"
        )
    _check_given(input_shapes, inputs, included)
    inputs.update({name: shape for name, shape in input_shapes.items() if name in inputs})
    _check_sizes({**inputs, **input_shapes}, document)
    net = Net(included, inputs, input_shapes)
    warnings += [*unknown_types(net.layers), *_misspelt(net)]
    if weights is None:
        net = with_placeholders(net, bn_dialect)
        return Built(net, excluded, (*warnings, *_of_the_graph(net), *_left_out(net)))
    decided = bind(net, weights, bn_dialect)
    warnings += [*_of_the_graph(decided.net), *decided.warnings, *_left_out(decided.net)]
    warnings += strangers(everything, weights)
    return Built(decided.net, excluded, tuple(warnings))


def _of_the_graph(net: Net) -> List[str]:
    """Warnings about sizes and shared memory; the sizes first, because they find what a layer lacks."""
    return [*net.sizes.conflicts, *net.memory.warnings(net)]


def unknown_types(everything: Sequence[Layer]) -> List[str]:
    """A warning about each unknown layer type. Raises InputError for a layer that has no type."""
    strange: Dict[str, List[Layer]] = {}
    for layer in everything:
        if not layer.type:
            raise InputError(f"layer {layer.name} has no type", where=layer.where, remedy="add its type")
        if layer.layer_type is None:
            strange.setdefault(layer.type, []).append(layer)
    known = (*layers.ALIASES, *layers.LAYERS)
    return [
        f"{users[0].where}: type {name} of {counted(len(users), 'layer')} is not known{hint(nearest(name, known))}: "
        "nothing folds across it, and the sizes of its tops are unknown"
        for name, users in strange.items()
    ]


def _misspelt(net: Net) -> List[str]:
    """A warning about each unknown field whose name resembles a known one."""
    misspelt = {layer.misspelt: layer for layer in reversed(net.layers) if layer.misspelt}
    return [
        f"{layer.where}: {field} of {layer} is not known, and Caffe cannot read such a net"
        for field, layer in misspelt.items()
    ]


def _left_out(net: Net) -> List[str]:
    """A warning about layers that are run without a setting of the files that is not understood."""
    run = (
        layer
        for layer in net.layers
        if layer.layer_type is not None and layer.layer_type.forward and not layer.misspelt
    )
    strange = [layer for layer in run if layer.not_understood]
    if not strange:
        return []
    layer, others = strange[0], strange[1:]
    more = f", as are fields of {counted(len(others), 'more layer')}" if others else ""
    return [
        f"{layer.where}: {layer.not_understood} of {layer} is not understood, and ignored when the net is run{more}"
    ]


def _mixed(everything: Sequence[Layer]) -> List[str]:
    """Caffe: upgrade_proto.cpp:670-676."""
    first = {layer.field.name: layer.where for layer in reversed(everything)}
    if len(first) < 2:
        return []
    return [
        f"{first['layers']}: this net has both `layer` and `layers`, the new form and the old, which Caffe cannot "
        "read; they are read in the order of the text (`caffe-fuse upgrade` makes it one form)"
    ]


def _made_elsewhere(
    included: Sequence[Layer], excluded: Sequence[Layer], inputs: Mapping[str, Shape]
) -> Dict[str, Layer]:
    """Blobs that only layers of another phase produce, such as the data of a training net, with that layer."""
    producers = {name: layer for layer in reversed(excluded) for name in layer.tops}
    known = set(inputs)
    elsewhere: Dict[str, Layer] = {}
    for layer in included:
        elsewhere.update({name: producers[name] for name in layer.bottoms if name not in known and name in producers})
        known.update(layer.bottoms)
        known.update(layer.tops)
    return elsewhere


def read_layers(document: Document) -> List[Layer]:
    """The layers of a prototxt of any generation, of all phases."""
    everything: List[Layer] = []
    for place, field, typed in generations.read_layers(document):
        line, _ = document.position(field.start)
        everything.append(Layer(place, typed.message, typed.unknown, field, document.where(field.start), line))
    return everything


def _net_inputs(document: Document, included: Sequence[Layer]) -> Dict[str, Shape]:
    """The `input` fields with the shapes in `input_shape`, or in `input_dim`, which has four sizes for each.

    An input without a shape that a layer produces is that layer's (Caffe: upgrade_proto.cpp:968-1003 drops it).
    """
    root = document.root
    inputs = [names.decode(value.string()) for value in root.all("input") if isinstance(value, Scalar)]
    shapes: List[Shape] = []
    for value in root.all("input_shape"):
        if isinstance(value, Message):
            shapes.append(tuple(schema.read(document, value, "BlobShape").message.dim))
    dims = [value.integer(0, 2**31 - 1) for value in root.all("input_dim") if isinstance(value, Scalar)]
    if not shapes:
        shapes = [tuple(dims[start : start + 4]) for start in range(0, len(dims) - 3, 4)]
    made = {name for layer in included for name in layer.tops if name not in layer.bottoms}
    known = dict(zip(inputs, shapes + [None] * len(inputs)))
    return {name: shape for name, shape in known.items() if shape is not None or name not in made}


def _check_given(given: Mapping[str, Shape], inputs: Mapping[str, Shape], included: Sequence[Layer]) -> None:
    sources = dict.fromkeys(inputs)
    for layer in included:
        if not layer.bottoms:
            sources.update(dict.fromkeys(layer.tops))
    for name in given:
        if name not in sources:
            raise InputError(
                f"--input-shape names blob {name}, which is not an input of the net",
                remedy=f"its inputs are: {', '.join(sources) or 'none'}",
            )


def _check_sizes(shapes: Mapping[str, Shape], document: Document) -> None:
    for name, shape in shapes.items():
        try:
            require_possible(shape)
        except InputError as error:
            raise InputError(f"input {name}: {error.what}", where=document.path) from error
