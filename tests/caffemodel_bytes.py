"""Caffemodels for tests, encoded by hand or by protobuf, independently of the package's encoder."""

from __future__ import annotations

import struct
from typing import Any, Dict, Sequence, Union

import numpy as np
from hypothesis import strategies as st

from caffe_fuse.protobuf.wire import Source
from caffe_fuse.schema import messages as schema
from caffe_fuse.weights import WeightFile, read_weights

NUMBERS = np.array([[1, -2, 3.5], [0, 0.25, 2047]], np.float32)
VALUES = NUMBERS.ravel().tolist()


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    encoded = b""
    while value >= 128:
        encoded += bytes([value % 128 + 128])
        value //= 128
    return encoded + bytes([value])


def field(number: int, value: Any) -> bytes:
    """Encodes a field: an int as a varint, bytes as they are, a float as a fixed32."""
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    if isinstance(value, float):
        return varint(number * 8 + 5) + struct.pack("<f", value)
    return varint(number * 8 + 2) + varint(len(value)) + bytes(value)


def singles(values: Union[Sequence[float], np.ndarray]) -> bytes:
    return np.array(values, "<f4").tobytes()


def doubles(values: Sequence[float]) -> bytes:
    return np.array(values, "<f8").tobytes()


def unpacked(values: Sequence[float]) -> bytes:
    return b"".join(field(5, float(value)) for value in values)


def unpacked_doubles(values: Sequence[float]) -> bytes:
    return b"".join(b"\x41" + struct.pack("<d", value) for value in values)


SHAPE = field(7, field(1, b"\x02\x03"))
HALVES = np.array(VALUES, "<f2").tobytes()
ENCODINGS: Dict[str, bytes] = {
    "packed": field(5, singles(VALUES)),
    "packed in two pieces": field(5, singles(VALUES[:2])) + field(5, singles(VALUES[2:])),
    "with an empty piece": field(5, b"") + field(5, singles(VALUES)),
    "unpacked": unpacked(VALUES),
    "packed and unpacked": unpacked(VALUES[:2]) + field(5, singles(VALUES[2:5])) + unpacked(VALUES[5:]),
    "unpacked around the diff": unpacked(VALUES[:4]) + field(6, singles([9.0] * 6)) + unpacked(VALUES[4:]),
    "double": field(8, doubles(VALUES)),
    "double in pieces": unpacked_doubles(VALUES[:1]) + field(8, doubles(VALUES[1:4])) + unpacked_doubles(VALUES[4:]),
    "raw double": field(10, 0) + field(12, doubles(VALUES)),
    "raw float": field(12, singles(VALUES)) + field(10, 1),
    "raw half": field(10, 2) + field(12, HALVES),
    "double over data": field(5, singles([8.0] * 6)) + field(8, doubles(VALUES)),
    "data over raw": field(10, 1) + field(12, singles([8.0] * 6)) + field(5, singles(VALUES)),
    "with a diff": field(6, singles([9.0] * 6)) + field(5, singles(VALUES)),
    "with another dialect's fields": field(5, singles(VALUES)) + field(12, 3) + field(10, b"\x01\x02"),
}


def layer(name: str, *blobs: bytes, kind: str = "Convolution", more: bytes = b"") -> bytes:
    texts = field(1, name.encode()) + field(2, kind.encode()) + field(3, b"data") + field(4, name.encode())
    return field(100, texts + more + b"".join(field(7, blob) for blob in blobs))


def scan(content: bytes) -> WeightFile:
    return read_weights(Source(content, "net.caffemodel"))


def parsed(content: bytes) -> Any:
    """Returns the NetParameter, parsed by protobuf, independently of the package's reader."""
    net = schema.new("NetParameter")
    net.ParseFromString(content)
    return net


names = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def nets(draw: Any) -> Any:
    """Draws a NetParameter, with layers of any names and types, some unknown to BVLC Caffe."""
    net = schema.new("NetParameter")
    net.name = draw(names)
    for number in range(draw(st.integers(1, 4))):
        message = net.layer.add()
        message.name = draw(names)
        message.type = draw(st.sampled_from(["Convolution", "InnerProduct", "ReLU", "Ω/own"]))
        message.bottom.extend(draw(st.lists(names, max_size=3)))
        message.top.extend(draw(st.lists(names, max_size=3)))
        if draw(st.booleans()):
            message.convolution_param.num_output = 3
            message.convolution_param.bias_term = False
        message.param.add().lr_mult = number
        message.include.add().phase = 1
        for _ in range(draw(st.integers(0, 2))):
            values = draw(st.lists(st.floats(width=32, allow_nan=False), max_size=5))
            blob = message.blobs.add()
            blob.data.extend(values)
            blob.shape.dim.append(len(values))
        # An unknown field and an unknown group.
        message.MergeFromString(field(7777, draw(st.binary(max_size=4))) + b"\x83\xe3\x03\x08\x01\x84\xe3\x03")
    return net
