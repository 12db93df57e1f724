"""The three forms in which Caffe's nets have been written; everything else in the package sees V2 LayerParameters.

    V2  layer { type: "Convolution" ... }               since 2014
    V1  layers { type: CONVOLUTION blobs_lr: 1 ... }    the types are an enum, what is in `param` stands in four lists
    V0  layers { layer { type: "conv" ... } ... }       of 2013, all parameters of all types side by side

The numbers of the fields in a caffemodel are in weights/field_numbers.py. Imports `schema`, `protobuf`, and `layers`
for the spelling of types.
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
    """A layer of a prototxt. place: which of the layers there it is; typed: a V2 LayerParameter."""

    place: int
    field: Field
    typed: Typed


def of(node: Message, name: str) -> str:
    """The generation of a layer in a text, which stands there as a field of this name."""
    if name == "layer":
        return V2
    return V0 if isinstance(node.last("layer"), Message) else V1


def layer_fields(document: Document) -> List[Field]:
    """The layers of all generations, in the order of the text. Raises InputError for a list of them."""
    found = [field for field in document.root.fields if field.name in ("layer", "layers")]
    for field in found:
        if field.is_list or not isinstance(field.values[0], Message):
            raise InputError(
                "layers in a list [...] cannot be edited",
                where=document.where(field.start),
                remedy=f"write each as `{field.name} {{ ... }}`",
            )
    return found


def read_layers(document: Document) -> List[LayerText]:
    """The layers of a prototxt as V2; V0's padding layers are part of those that read them.

    Raises TextError as `schema.read` does, InputError for padding that nothing can take in.
    """
    found: List[LayerText] = []
    oldest: Dict[int, LayerText] = {}
    for place, field in enumerate(layer_fields(document)):
        node = field.values[0]
        assert isinstance(node, Message)
        generation = of(node, field.name)
        if generation == V0:
            oldest[place] = LayerText(place, field, schema.read(document, node, "V1LayerParameter"))
            continue
        typed = schema.read(document, node, "LayerParameter") if generation == V2 else v1.read(document, node)
        found.append(LayerText(place, field, typed))
    padded = v0.without_padding({place: each.typed.message for place, each in oldest.items()}, document.path)
    for place, message in padded.items():
        each = oldest[place]
        found.append(each._replace(typed=Typed(v0.upgraded(message), each.typed.unknown)))
    return sorted(found, key=lambda each: each.place)
