"""V2 nets written in the V1 form: the same text and the same weights, spelled as in 2014.

Layers must begin with name and type, and a `param` must hold only a name, as in the tests.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List

import numpy as np
from reference.files import message_class, stored_blob

# With the names that forks have given to types that BVLC Caffe has in V2 only
V1_NAMES = {
    "AbsVal": "ABSVAL",
    "BatchNorm": "BATCH_NORM",
    "Bias": "BIAS",
    "Concat": "CONCAT",
    "Convolution": "CONVOLUTION",
    "Deconvolution": "DECONVOLUTION",
    "Dropout": "DROPOUT",
    "Eltwise": "ELTWISE",
    "Flatten": "FLATTEN",
    "InnerProduct": "INNER_PRODUCT",
    "Pooling": "POOLING",
    "Power": "POWER",
    "ReLU": "RELU",
    "Scale": "SCALE",
    "Sigmoid": "SIGMOID",
    "Silence": "SILENCE",
    "Slice": "SLICE",
    "Split": "SPLIT",
    "TanH": "TANH",
}
_FORKS_NUMBER = b"\x28\x2f"  # type = 47, of no enum that BVLC Caffe has had

_INPUT = re.compile(
    rb'layer \{\s*name: "\w+"\s*type: "Input"\s*top: ("\w+")\s*input_param \{ shape (\{[^}]*\}) \}\s*\}'
)
_LAYER = re.compile(rb'^layer \{(\s*name: "\w+"\s*type: )"(\w+)"', re.MULTILINE)
_OLD_LAYER = re.compile(rb'^layers \{(\s*name: "\w+"\s*type: )(\w+)', re.MULTILINE)
_PARAM = re.compile(rb'param \{ name: ("\w+") \}')


def as_v1(prototxt: bytes) -> bytes:
    """Returns the text of a V2 net as V1; its Input layers become `input` fields."""
    text = _INPUT.sub(rb"input: \1\ninput_shape \2", prototxt)
    text = _PARAM.sub(rb"param: \1", text)
    return _LAYER.sub(lambda match: b"layers {" + match[1] + V1_NAMES[match[2].decode()].encode(), text)


def as_v2(prototxt: bytes) -> bytes:
    """Returns the result of `as_v1` as V2 again."""
    types = {name.encode(): type_name for type_name, name in V1_NAMES.items()}
    text = re.sub(rb'param: ("\w+")', rb"param { name: \1 }", prototxt)
    return _OLD_LAYER.sub(lambda match: b'layer {%b"%b"' % (match[1], types[match[2]].encode()), text)


def as_v1_weights(content: bytes) -> bytes:
    """Returns a V2 caffemodel as V1, with its shapes in the legacy form."""
    net, old = message_class("NetParameter").FromString(content), message_class("NetParameter")()
    labels = message_class("V1LayerParameter").DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name
    for layer in net.layer:
        record = old.layers.add(name=layer.name, bottom=layer.bottom, top=layer.top)
        label = V1_NAMES.get(layer.type, "")
        if label in labels:
            record.type = labels[label].number
        else:
            record.MergeFromString(_FORKS_NUMBER)
        for name in ("convolution_param", "inner_product_param", "power_param"):
            if layer.HasField(name):
                getattr(record, name).CopyFrom(getattr(layer, name))
        for blob in layer.blobs:
            _add_legacy(record.blobs.add(), blob)
    return bytes(old.SerializeToString())


def _add_legacy(new: Any, blob: Any) -> None:
    new.CopyFrom(blob)
    dims = list(blob.shape.dim)
    if len(dims) in (1, 2, 4):  # a convolution along one axis is younger than the legacy form
        new.ClearField("shape")
        new.num, new.channels, new.height, new.width = [1] * (4 - len(dims)) + dims


def arrays_of_v1(content: bytes) -> Dict[str, List[np.ndarray]]:
    """Returns the blobs of a V1 caffemodel by layer, without their shapes, read by protobuf alone."""
    records = message_class("NetParameter").FromString(content).layers
    return {record.name: [stored_blob(blob).numbers for blob in record.blobs] for record in records if record.blobs}
