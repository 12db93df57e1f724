"""The names of layer types in the old generations, and their V2 types."""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, Mapping, Union

from .. import layers
from ..schema import messages as schema

# Caffe: upgrade_proto.cpp UpgradeV1LayerType. The index is the value in V1LayerParameter.LayerType.
_V1_TYPES = (
    *("", "Accuracy", "BNLL", "Concat", "Convolution", "Data", "Dropout", "EuclideanLoss", "Flatten"),
    *("HDF5Data", "HDF5Output", "Im2col", "ImageData", "InfogainLoss", "InnerProduct", "LRN"),
    *("MultinomialLogisticLoss", "Pooling", "ReLU", "Sigmoid", "Softmax", "SoftmaxWithLoss", "Split", "TanH"),
    *("WindowData", "Eltwise", "Power", "SigmoidCrossEntropyLoss", "HingeLoss", "MemoryData", "ArgMax"),
    *("Threshold", "DummyData", "Slice", "MVN", "AbsVal", "Silence", "ContrastiveLoss", "Exp"),
    "Deconvolution",
)

# Caffe: upgrade_proto.cpp UpgradeV0LayerType.
_V0_TYPES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "bnll": "BNLL",
    "concat": "Concat",
    "conv": "Convolution",
    "data": "Data",
    "dropout": "Dropout",
    "euclidean_loss": "EuclideanLoss",
    "flatten": "Flatten",
    "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output",
    "im2col": "Im2col",
    "images": "ImageData",
    "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "pool": "Pooling",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss",
    "split": "Split",
    "tanh": "TanH",
    "window_data": "WindowData",
}


def from_v1(v1_type: Union[str, int]) -> str:
    """The V2 type of a V1 layer, given by the enum's identifier or value.

    Forks have added to the enum, each with its own values: a value that BVLC Caffe does not have reads as "V1:40".
    """
    if isinstance(v1_type, int):
        return _V1_TYPES[v1_type] if 0 <= v1_type < len(_V1_TYPES) else f"V1:{v1_type}"
    value = _v1_values().get(v1_type)
    return _by_spelling(v1_type) if value is None else _V1_TYPES[value]


def from_v0(v0_type: str) -> str:
    """The V2 type of a V0 layer. "padding" is kept: such a layer becomes a part of the next one."""
    return _V0_TYPES.get(v0_type) or _by_spelling(v0_type)


def _by_spelling(name: str) -> str:
    """A fork's type: BATCH_NORM is BatchNorm; a name that resembles no known type is kept."""
    return _spellings().get(_letters(name), name)


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


@lru_cache(maxsize=None)
def _spellings() -> Dict[str, str]:
    return {_letters(name): name for name in (*layers.ALIASES, *layers.LAYERS)}


@lru_cache(maxsize=None)
def _v1_values() -> Dict[str, int]:
    layer_type = schema.new("V1LayerParameter").DESCRIPTOR.enum_types_by_name["LayerType"]
    return {value.name: value.number for value in layer_type.values}
