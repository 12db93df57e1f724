"""Caffe's messages: converts text trees to typed messages, with their defaults, by field name.

The compiled proto/caffe.proto is in a private pool: the default pool takes only one `caffe` package, and the process
may already have loaded pycaffe's or a vendor's.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from google.protobuf import descriptor_pool, message_factory

from ..errors import TextError
from ..protobuf.text import Document, Field, Message, Scalar, Value
from ..spelling import nearest
from . import names

PHASES: Mapping[str, int] = {"TRAIN": 0, "TEST": 1}

# In proto/caffe.proto, fields that BVLC Caffe does not have are numbered from here on.
_FOREIGN = 400_000_000


class Unknown(NamedTuple):
    """A field of the text that the message does not have, or whose value it cannot hold.

    path: field names from the message down to the field, joined by dots. meant: the field of the message with the most
    similar name, "" if there is none.
    """

    path: str
    field: Field
    meant: str = ""


class Typed(NamedTuple):
    """A typed message, and the fields of the text that are not in it, in the order of the text."""

    message: Any
    unknown: Tuple[Unknown, ...]


class _Slot(NamedTuple):
    """A field of a message. convert: makes its value from a scalar; None if it holds messages."""

    name: str
    repeated: bool
    foreign: bool
    convert: Optional[Callable[[Scalar], Any]]


class _NoSuchValue(Exception):
    """An enum does not have the value."""


def new(message_name: str) -> Any:
    """An empty message, for example of "LayerParameter"."""
    return _message_class(message_name)()


def copy_of(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def without_foreign(message: Any) -> Any:
    """A copy without the fields that BVLC Caffe lacks: the numbers that they have here mean nothing in a file."""
    copy = copy_of(message)
    _clear_foreign(copy)
    return copy


def foreign_fields(message: Any, prefix: str = "") -> List[Tuple[str, Any, Any]]:
    """The fields that BVLC Caffe lacks: path, descriptor and value of each."""
    found: List[Tuple[str, Any, Any]] = []
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.number >= _FOREIGN:
            found.append((path, field, value))
        elif field.message_type is not None:
            for part in value if _is_repeated(field) else [value]:
                found += foreign_fields(part, f"{path}.")
    return found


def _clear_foreign(message: Any) -> None:
    for field, value in message.ListFields():
        if field.number >= _FOREIGN:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if _is_repeated(field) else [value]:
                _clear_foreign(part)


def put(message: Any, name: str, value: Any) -> None:
    """Sets a field to a value taken from a field of the same type; a repeated field may take a single value."""
    target = getattr(message, name)
    if hasattr(target, "append"):
        target.MergeFrom(value if hasattr(value, "append") else [value])
    elif hasattr(target, "ListFields"):
        target.CopyFrom(value)
    else:
        setattr(message, name, value)


def read(document: Document, tree: Message, message_name: str) -> Typed:
    """The typed message of `tree`, a part of `document`.

    As in protobuf, the last of several values of one field wins, and repeated occurrences of a message are merged.
    Unknown names and enum values leave their field unset and are listed; so does a value of another type in a field
    that BVLC Caffe does not have, because other Caffes may use the name differently. In a field that it has, a value of
    another type or out of range raises TextError. Bytes of a string that are not UTF-8 read as `\\xNN`.
    """
    reader = _Reader(document)
    message = new(message_name)
    reader.fill(message, tree, "", False)
    return Typed(message, tuple(reader.unknown))


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.unknown: List[Unknown] = []

    def fill(self, message: Any, tree: Message, path: str, foreign: bool) -> None:
        slots = _slots(message.DESCRIPTOR.full_name)
        for field in tree.fields:
            slot = slots.get(field.name)
            if slot is None:
                self.unknown.append(Unknown(path + field.name, field, nearest(field.name, slots)))
                continue
            try:
                self._set(message, slot, field, path, foreign or slot.foreign)
            except _NoSuchValue:
                self.unknown.append(Unknown(path + field.name, field))
            except TextError:
                if not (foreign or slot.foreign):
                    raise
                self.unknown.append(Unknown(path + field.name, field))

    def _set(self, message: Any, slot: _Slot, field: Field, path: str, foreign: bool) -> None:
        name, repeated, _, convert = slot
        _, values, _, _, is_list = field
        if is_list and not repeated:
            raise self._wrong(field, f"{name} takes one value, found a list")
        if convert is None:
            for value in values:
                self._add(message, slot, value, path, foreign)
        elif is_list:
            # All are converted before the first is added: an invalid one leaves the field unchanged.
            getattr(message, name).extend([convert(self._scalar(value, name)) for value in values])
        elif repeated:
            getattr(message, name).append(convert(self._scalar(values[0], name)))
        else:
            setattr(message, name, convert(self._scalar(values[0], name)))

    def _add(self, message: Any, slot: _Slot, value: Value, path: str, foreign: bool) -> None:
        if not isinstance(value, Message):
            raise self._wrong(value, f"expected {slot.name} {{ ... }}, found `{value.text}`")
        part = getattr(message, slot.name)
        part = part.add() if slot.repeated else part
        part.SetInParent()
        self.fill(part, value, f"{path}{slot.name}.", foreign)

    def _scalar(self, value: Value, name: str) -> Scalar:
        if isinstance(value, Message):
            raise self._wrong(value, f"expected a value for {name}, found {{ ... }}")
        return value

    def _wrong(self, node: Union[Field, Value], what: str) -> TextError:
        return self.document.text.error(what, node.start)


@lru_cache(maxsize=None)
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(Path(__file__).with_name("caffe.desc").read_bytes())
    return pool


@lru_cache(maxsize=None)
def _prototype() -> Callable[[Any], Any]:
    """The function that makes a class from a descriptor: protobuf 3.20 has only the factory, 6 only the function."""
    module: Any = message_factory
    if hasattr(module, "GetMessageClass"):
        return module.GetMessageClass  # type: ignore[no-any-return]
    return module.MessageFactory(_pool()).GetPrototype  # type: ignore[no-any-return]


@lru_cache(maxsize=None)
def _message_class(message_name: str) -> Any:
    return _prototype()(_pool().FindMessageTypeByName(f"caffe.{message_name}"))


@lru_cache(maxsize=None)
def _slots(full_name: str) -> Dict[str, _Slot]:
    descriptor = _pool().FindMessageTypeByName(full_name)
    return {
        field.name: _Slot(field.name, _is_repeated(field), field.number >= _FOREIGN, _converter(field))
        for field in descriptor.fields
    }


def _is_repeated(field: Any) -> bool:
    # protobuf 6 added is_repeated and warns about `label`, which 7 does not have.
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == field.LABEL_REPEATED)


def _converter(field: Any) -> Optional[Callable[[Scalar], Any]]:
    if field.type == field.TYPE_MESSAGE:
        return None
    if field.type == field.TYPE_ENUM:
        return _enum_converter({value.name: value.number for value in field.enum_type.values})
    return {
        field.TYPE_STRING: lambda scalar: names.decode(scalar.string()),
        field.TYPE_BYTES: Scalar.string,
        field.TYPE_BOOL: Scalar.boolean,
        field.TYPE_FLOAT: Scalar.floating,
        field.TYPE_DOUBLE: Scalar.floating,
        field.TYPE_INT32: lambda scalar: scalar.integer(-(2**31), 2**31 - 1),
        field.TYPE_INT64: lambda scalar: scalar.integer(-(2**63), 2**63 - 1),
        field.TYPE_UINT32: lambda scalar: scalar.integer(0, 2**32 - 1),
    }[field.type]


def _enum_converter(values: Mapping[str, int]) -> Callable[[Scalar], int]:
    numbers = frozenset(values.values())

    def convert(scalar: Scalar) -> int:
        if scalar.kind == "number":
            number = scalar.integer(-(2**31), 2**31 - 1)
            if number in numbers:
                return number
        elif scalar.kind == "identifier" and scalar.identifier() in values:
            return values[scalar.identifier()]
        raise _NoSuchValue(scalar.text)

    return convert
