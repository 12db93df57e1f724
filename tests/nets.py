"""Small nets from a few lines of prototxt: their weights, their weight file, and their fold in memory.

A fold in memory skips the proof of `save`, so these tests find faults without it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import h5py
import numpy as np
import truth
from reference.files import message_class, read_net
from reference.net import is_included

import caffe_fuse
from caffe_fuse.emit.records import plan
from caffe_fuse.folding.result import Result
from caffe_fuse.folding.save import rendered
from caffe_fuse.net.build import build
from caffe_fuse.net.model import Model
from caffe_fuse.net.state import State
from caffe_fuse.protobuf import text as textproto
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.weights import read_weights
from caffe_fuse.weights.caffemodel_writer import write

Blobs = Mapping[str, Sequence[np.ndarray]]


def spread(shape: Sequence[int], seed: int, low: float = -2, high: float = 2) -> np.ndarray:
    """Returns distinct float32 values in a shuffled order, none of them 0."""
    count = int(np.prod(shape))
    places = low + (high - low) * (np.arange(count) + 0.37) / count
    return np.random.RandomState(seed).permutation(places).astype(np.float32).reshape(tuple(shape))


def text(*layers: str, shape: Sequence[int] = (2, 4, 5, 6), newline: str = "\n") -> bytes:
    """Returns a net of these layers, one line each, whose input is blob x."""
    dims = " ".join(f"dim: {dim}" for dim in shape)
    return newline.join(['input: "x"', f"input_shape {{ {dims} }}", *layers, ""]).encode()


def layer(name: str, type_name: str, bottom: str, top: str, rest: str = "") -> str:
    """Returns a layer as one line of prototxt; several bottoms or tops are separated by spaces."""
    bottoms = " ".join(f'bottom: "{blob}"' for blob in bottom.split())
    tops = " ".join(f'top: "{blob}"' for blob in top.split())
    return " ".join(f'layer {{ name: "{name}" type: "{type_name}" {bottoms} {tops} {rest} }}'.split())


def convolution(name: str = "c", bottom: str = "x", top: str = "c", rest: str = "", settings: str = "") -> str:
    inner = f"convolution_param {{ num_output: 6 kernel_size: 3 {settings} }}"
    return layer(name, "Convolution", bottom, top, f"{inner} {rest}")


def batch_norm(name: str = "b", bottom: str = "c", top: str = "b", rest: str = "") -> str:
    return layer(name, "BatchNorm", bottom, top, rest)


def scale(name: str = "s", bottom: str = "b", top: str = "s", rest: str = "scale_param { bias_term: true }") -> str:
    return layer(name, "Scale", bottom, top, rest)


def numbers(prototxt: bytes, seed: int = 0) -> Dict[str, List[np.ndarray]]:
    """Returns weights for every layer that has some, of the shapes that the net requires."""
    found: Dict[str, List[np.ndarray]] = {}
    for place, each in enumerate(model(prototxt, None).net.layers):
        shapes = [blob.shape for blob in each.blobs]
        if each.type == "BatchNorm" and shapes:
            factor = np.array([(1, 999.98, 0.25)[(seed + place) % 3]], np.float32)
            mean = spread(shapes[0], seed + place)
            variance = spread(shapes[1], seed + place + 7, 0.02, 3)
            found[each.name] = [mean * factor, variance * factor, factor]
        elif shapes:
            found[each.name] = [spread(shape, seed + 31 * place + index) for index, shape in enumerate(shapes)]
    return found


def caffemodel(prototxt: bytes, blobs: Blobs) -> bytes:
    """Returns the weight file as Caffe writes it: every layer of the TEST net with its parameters and its blobs.

    A layer whose blobs are in the prototxt itself and not in `blobs` has no record.
    """
    net = message_class("NetParameter")()
    rest = dict(blobs)
    for parameter in read_net(prototxt).layer:
        embedded = parameter.blobs and parameter.name not in rest
        if embedded or not is_included(parameter, "TEST", 0, ()):
            continue
        record = net.layer.add()
        record.CopyFrom(parameter)
        del record.blobs[:]
        _fill(record, rest.pop(parameter.name, ()))
    for name, arrays in rest.items():
        _fill(net.layer.add(name=name), arrays)
    return bytes(net.SerializeToString())


def _fill(record: Any, arrays: Sequence[np.ndarray]) -> None:
    for array in arrays:
        blob = record.blobs.add()
        blob.shape.dim.extend(array.shape)
        blob.data.extend(array.ravel().tolist())


def hdf5(blobs: Mapping[str, Mapping[int, np.ndarray]]) -> bytes:
    """Returns HDF5 weights: a group for each layer, a dataset for each of its blobs."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        data = file.create_group("data")
        for name, arrays in blobs.items():
            group = data.create_group(name)
            for place, array in arrays.items():
                group.create_dataset(str(place), data=array)
    return content.getvalue()


def records(content: bytes) -> Dict[str, Any]:
    """Returns the layers of a weight file by name, read by protobuf alone; of two with the same name, the last."""
    return {record.name: record for record in message_class("NetParameter").FromString(content).layer}


def arrays_of(content: bytes) -> Dict[str, List[np.ndarray]]:
    """Returns the blobs of a weight file by layer, read by protobuf alone."""
    return {
        name: [np.array(blob.data, np.float32).reshape(tuple(blob.shape.dim)) for blob in record.blobs]
        for name, record in records(content).items()
        if record.blobs
    }


def model(
    prototxt: bytes, weights: Optional[bytes], state: Optional[State] = None, bn_dialect: Optional[str] = None
) -> Model:
    document = textproto.parse(prototxt, "net.prototxt")
    stored = None if weights is None else read_weights(Source(weights, "net.caffemodel"))
    built = build(document, stored, state or State(), {}, bn_dialect)
    return Model(document, stored, built.net, built.net, built.excluded, (), built.warnings)


@dataclass(frozen=True)
class Fused:
    """A net before and after a fold, both as the bytes of their files."""

    before: Tuple[bytes, bytes]
    prototxt: bytes
    weights: bytes
    result: Result

    @property
    def lines(self) -> List[str]:
        """Returns the layers of the new prototxt, if each is a line of its own."""
        return self.prototxt.decode().splitlines()[2:]

    @property
    def refused(self) -> Dict[str, str]:
        return {each.layer: each.reason for each in self.result.report.refused}

    @property
    def arrays(self) -> Dict[str, List[np.ndarray]]:
        return arrays_of(self.weights)

    def compared(self, shape: Sequence[int] = (2, 4, 5, 6), phase: str = "TEST") -> truth.Comparison:
        inputs = {"x": spread(shape, 99)}
        return truth.compare(*self.before, self.prototxt, self.weights, inputs, phase)

    def violations(self, shape: Sequence[int] = (2, 4, 5, 6), phase: str = "TEST") -> Sequence[truth.Difference]:
        return self.compared(shape, phase).violations


def fuse(
    prototxt: bytes,
    blobs: Optional[Blobs] = None,
    *,
    state: Optional[State] = None,
    weights: bytes = b"",
    **options: Any,
) -> Fused:
    """Folds a net with these blobs (those of `numbers` if there are none), or with this weight file."""
    content = weights or caffemodel(prototxt, numbers(prototxt) if blobs is None else blobs)
    options.setdefault("half_policy", "off")
    result = caffe_fuse.fuse(model(prototxt, content, state), **options)
    weights = written(result.model, result.options.prune)
    return Fused((prototxt, content), rendered(result.model, result.options), weights, result)


def written(model: Model, prune: bool = False) -> bytes:
    """Returns the bytes of the model's weight file."""
    content: Dict[int, bytes] = {}

    def put(place: int, data: memoryview) -> None:
        if len(data):
            content[place] = bytes(data)

    stored = model.weights
    assert stored is not None
    write(stored, plan(model, stored, prune), put)
    return b"".join(content[place] for place in sorted(content))
