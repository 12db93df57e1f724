"""Generation V1, `layers { }`: everything but the type and the learning rates is as in V2."""

from __future__ import annotations

from typing import Any, Iterable, List, Optional

from ..protobuf.text import Document, Field, Message, Scalar
from ..schema import messages as schema
from ..schema import names
from ..schema.messages import Typed
from .type_names import from_v1

# What V2 writes as `param { name share_mode lr_mult decay_mult }`.
_PARAM_FIELDS = ("param", "blob_share_mode", "blobs_lr", "weight_decay")

# The layer types whose `scale`, `mean_file`, `crop_size` and `mirror` have moved to transform_param.
_DATA_FIELDS = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}
_MOVED = ("scale", "mean_file", "crop_size", "mirror")


def read(document: Document, tree: Message) -> Typed:
    """The V2 LayerParameter of a V1 layer in a text. Its type may be an identifier, a string or an enum value."""
    plain = read_plain(document, tree)
    parameter = schema.copy_of(plain.message)
    own = tree._replace(fields=tuple(param_fields(tree)))
    _finish(parameter, schema.read(document, own, "V1LayerParameter").message, _type_name(tree))
    if has_old_transform(parameter):
        move_transform(parameter)
    return Typed(parameter, plain.unknown)


def param_fields(tree: Message) -> List[Field]:
    """The fields of a V1 layer that V2 writes as `param { }`; some V1 layers already have that, which is not listed."""
    fields = [field for field in tree.fields if field.name in _PARAM_FIELDS]
    return [field for field in fields if not any(isinstance(value, Message) for value in field.values)]


def read_plain(document: Document, tree: Message) -> Typed:
    """The fields that V1 and V2 have in common, and those that forks added to V2 only, as a LayerParameter."""
    own = param_fields(tree)
    fields = tuple(field for field in tree.fields if field not in own and field.name != "type")
    return schema.read(document, tree._replace(fields=fields), "LayerParameter")


def upgraded(message: Any, type_name: Optional[str] = None) -> Any:
    """The V2 LayerParameter of a V1LayerParameter (Caffe: upgrade_proto.cpp UpgradeV1LayerParameter).

    type_name: for a type that BVLC Caffe does not have. The data parameters are not moved.
    """
    parameter = schema.new("LayerParameter")
    for field, value in message.ListFields():
        if field.name not in (*_PARAM_FIELDS, "type", "layer"):
            schema.put(parameter, field.name, value)
    _finish(parameter, message, from_v1(message.type) if message.HasField("type") else type_name)
    return parameter


def _finish(parameter: Any, old: Any, type_name: Optional[str]) -> None:
    if type_name is not None:
        parameter.type = type_name
    set_specs(parameter, "name", old.param)
    set_specs(parameter, "share_mode", old.blob_share_mode)
    set_specs(parameter, "lr_mult", old.blobs_lr)
    set_specs(parameter, "decay_mult", old.weight_decay)


def set_specs(parameter: Any, name: str, values: Iterable[Any]) -> None:
    """Sets the field of this name in each `param` of a LayerParameter, in order."""
    for place, value in enumerate(values):
        spec = parameter.param[place] if place < len(parameter.param) else parameter.param.add()
        setattr(spec, name, value)


def _type_name(tree: Message) -> Optional[str]:
    value = tree.last("type")
    if not isinstance(value, Scalar):
        return None
    if value.kind == "number":
        return from_v1(value.integer(-(2**31), 2**31 - 1))
    return from_v1(names.decode(value.string()) if value.kind == "string" else value.identifier())


def has_old_transform(parameter: Any) -> bool:
    """Whether the data parameters of a layer have fields that belong in transform_param (NetNeedsDataUpgrade)."""
    settings = getattr(parameter, _DATA_FIELDS.get(parameter.type, ""), None)
    return settings is not None and any(settings.HasField(name) for name in _MOVED)


def move_transform(parameter: Any) -> None:
    """Moves those fields (Caffe: upgrade_proto.cpp UpgradeNetDataTransformation); both messages are present then."""
    if parameter.type not in _DATA_FIELDS:
        return
    settings = getattr(parameter, _DATA_FIELDS[parameter.type])
    settings.SetInParent()
    parameter.transform_param.SetInParent()
    for name in _MOVED:
        if settings.HasField(name):
            setattr(parameter.transform_param, name, getattr(settings, name))
            settings.ClearField(name)
