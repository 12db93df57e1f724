"""Reads prototxts, caffemodels and HDF5 weights with protobuf and h5py."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple, Union

import h5py
import numpy as np
from google.protobuf import descriptor_pool, message_factory, text_format

from .old_nets import upgrade_v0
from .rules import CaffeAbort, Stored

DESCRIPTOR = Path(__file__).resolve().parents[2] / "caffe_fuse" / "schema" / "caffe.desc"
Weights = Union[bytes, Mapping[str, Sequence[np.ndarray]]]
Record = Tuple[str, Dict[int, Stored]]  # a layer's name, its blobs by their place

# V1 type names that are not the V2 name in capitals and underscores
# (Caffe: upgrade_proto.cpp UpgradeV1LayerType)
_V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # NVCaffe: blob.cpp:344-359


@lru_cache(maxsize=None)
def message_class(name: str) -> Any:
    """Returns a message class of the schema, from its own pool."""
    pool = _pool()
    descriptor = pool.FindMessageTypeByName(f"caffe.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    factory: Any = message_factory.MessageFactory(pool)  # protobuf 3.20
    return factory.GetPrototype(descriptor)


@lru_cache(maxsize=None)
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(DESCRIPTOR.read_bytes())
    return pool


def read_net(prototxt: bytes) -> Any:
    """Returns a NetParameter whose layers are V2; unknown fields of vendors are skipped."""
    net = message_class("NetParameter")()
    text_format.Parse(prototxt.decode("utf-8-sig", "replace"), net, allow_unknown_field=True)
    if net.layer and net.layers:
        raise CaffeAbort("the net has both `layer` and `layers`")  # Caffe: upgrade_proto.cpp:670-676
    old_layers = upgrade_v0(net.layers) if any(old.HasField("layer") for old in net.layers) else net.layers
    for old in old_layers:
        _upgrade(old, net.layer.add())
    if not (net.input_shape or net.input_dim):  # Caffe: upgrade_proto.cpp UpgradeNetInput drops such inputs
        made = {top for layer in net.layer if layer.type == "Input" for top in layer.top}
        kept = [name for name in net.input if name not in made]
        del net.input[:]
        net.input.extend(kept)
    return net


def _upgrade(old: Any, new: Any) -> None:
    """V1 to V2. Caffe: upgrade_proto.cpp UpgradeV1LayerParameter."""
    names = {field.name for field in new.DESCRIPTOR.fields}
    for field, value in old.ListFields():
        if field.name == "type":
            label = field.enum_type.values_by_number[value].name
            new.type = _V1_TYPES.get(label, label.title().replace("_", ""))
        elif field.name == "param":
            while len(new.param) < len(value):
                new.param.add()
            for index, name in enumerate(value):
                new.param[index].name = name
                if index < len(old.blob_share_mode):
                    new.param[index].share_mode = old.blob_share_mode[index]
        elif field.name in ("blobs_lr", "weight_decay"):  # Caffe: upgrade_proto.cpp:716-744
            while len(new.param) < len(value):
                new.param.add()
            for spec, factor in zip(new.param, value):
                setattr(spec, "lr_mult" if field.name == "blobs_lr" else "decay_mult", factor)
        elif field.name == "name":
            new.name = value
        elif field.name in ("bottom", "top"):
            getattr(new, field.name).extend(value)
        elif field.name in ("include", "exclude", "blobs"):
            for item in value:
                getattr(new, field.name).add().CopyFrom(item)
        elif field.message_type is not None and field.name in names:
            getattr(new, field.name).CopyFrom(value)


def stored_blob(blob: Any) -> Stored:
    """Caffe: blob.cpp:469-499; raw_data as NVCaffe, blob.cpp:303-401."""
    legacy = ("num", "channels", "height", "width")
    is_legacy = any(blob.HasField(name) for name in legacy)
    shape = tuple(getattr(blob, name) for name in legacy) if is_legacy else tuple(blob.shape.dim)
    if blob.double_data:
        numbers = np.array(blob.double_data, np.float64)
    elif blob.data or not blob.raw_data:
        numbers = np.array(blob.data, np.float32)
    else:
        numbers = np.frombuffer(blob.raw_data, _RAW_TYPES[blob.raw_data_type])
    if numbers.size != int(np.prod(shape)):
        raise CaffeAbort(f"a blob of shape {shape} holds {numbers.size} numbers")
    return Stored(shape, is_legacy, numbers)


def read_weights(weights: Weights) -> Tuple[List[Record], bool]:
    """Returns the records in file order, and whether they come from HDF5."""
    if not isinstance(weights, bytes):
        return [(name, dict(enumerate(map(_plain, arrays)))) for name, arrays in weights.items()], False
    if weights.startswith(b"\x89HDF\r\n"):
        return list(_hdf5_records(weights)), True
    net = message_class("NetParameter").FromString(weights)
    records = [old.layer if old.HasField("layer") else old for old in net.layers] + list(net.layer)
    return [(record.name, dict(enumerate(map(stored_blob, record.blobs)))) for record in records], False


def _hdf5_records(weights: bytes) -> Iterator[Record]:
    """Caffe: net.cpp:790-842, data/LAYER/INDEX."""
    with h5py.File(io.BytesIO(weights), "r") as file:
        for name, group in file["data"].items():
            yield name, {int(index): _plain(dataset[()]) for index, dataset in group.items()}


def _plain(array: Any) -> Stored:
    numbers = np.asarray(array)
    return Stored(numbers.shape, False, numbers.reshape(-1))
