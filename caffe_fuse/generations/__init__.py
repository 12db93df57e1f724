"""The three generations of Caffe's nets; everything else in the package sees V2 LayerParameters.

    V2  layer { type: "Convolution" ... }               since 2014
    V1  layers { type: CONVOLUTION blobs_lr: 1 ... }    types are an enum, the fields of `param` are four lists
    V0  layers { layer { type: "conv" ... } ... }       of 2013, one message with the parameters of all types

The field numbers in a caffemodel are in weights/field_numbers.py. Imports `schema`, `protobuf`, and `layers` for the
spelling of types.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple

from ..errors import InputError
from ..protobuf.text import Document, Field, Message
from ..schema import messages as schema
from ..schema.messages import Typed
from . import v0, v1

V0, V1, V2 = "V0", "V1", "V2"


class LayerText(NamedTuple):
    """A layer of a prototxt. place: its index among the layers there. typed: a V2 LayerParameter."""

    place: int
    field: Field
    typed: Typed


def of(node: Message, name: str) -> str:
    """The generation of a layer in a text. name: of the field that holds it."""
    if name == "layer":
        return V2
    return V0 if isinstance(node.last("layer"), Message) else V1


def layer_fields(document: Document) -> List[Field]:
    """The layers of all generations, in the order of the text. Raises InputError if they are in a list."""
    fields = [field for field in document.root.fields if field.name in ("layer", "layers")]
    for field in fields:
        if field.is_list or not isinstance(field.values[0], Message):
            raise InputError(
                "layers in a list [...] cannot be edited",
                where=document.where(field.start),
                remedy=f"write each as `{field.name} {{ ... }}`",
            )
    return fields


def read_layers(document: Document) -> List[LayerText]:
    """The layers of a prototxt as V2; V0's padding layers are merged into their consumers.

    Raises TextError as `schema.read` does, and InputError for a padding layer that cannot be merged.
    """
    read: List[LayerText] = []
    oldest: Dict[int, LayerText] = {}
    for place, field in enumerate(layer_fields(document)):
        node = field.values[0]
        assert isinstance(node, Message)
        generation = of(node, field.name)
        if generation == V0:
            oldest[place] = LayerText(place, field, schema.read(document, node, "V1LayerParameter"))
            continue
        typed = schema.read(document, node, "LayerParameter") if generation == V2 else v1.read(document, node)
        read.append(LayerText(place, field, typed))
    padded = v0.without_padding({place: layer.typed.message for place, layer in oldest.items()}, document.path)
    for place, message in padded.items():
        layer = oldest[place]
        read.append(layer._replace(typed=Typed(v0.upgraded(message), layer.typed.unknown)))
    return sorted(read, key=lambda layer: layer.place)
