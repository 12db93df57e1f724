"""The table of layer types, with all that the package knows about them, in one file for each family.

A new type is one LayerType in the file of its family; another name of a known type is one line in ALIASES. Imports
`schema` and `blobs`. A layer type handles parameters, shapes and arrays; never a net, and never a file.
"""

from __future__ import annotations

from typing import Dict, Optional

from .activation import LAYER_TYPES as ACTIVATION
from .affine import LAYER_TYPES as AFFINE
from .arrange import LAYER_TYPES as ARRANGE
from .batch_norm import LAYER_TYPES as BATCH_NORM
from .binary import LAYER_TYPES as BINARY
from .blocks import LAYER_TYPES as BLOCKS
from .combine import LAYER_TYPES as COMBINE
from .convolution import LAYER_TYPES as CONVOLUTION
from .data import LAYER_TYPES as DATA
from .detection import LAYER_TYPES as DETECTION
from .inner_product import LAYER_TYPES as INNER_PRODUCT
from .layer_type import LayerType
from .normalise import LAYER_TYPES as NORMALISE
from .parts import LAYER_TYPES as PARTS
from .pooling import LAYER_TYPES as POOLING
from .recurrent import LAYER_TYPES as RECURRENT
from .reduce import LAYER_TYPES as REDUCE
from .resize import LAYER_TYPES as RESIZE

_FAMILIES = (
    *(CONVOLUTION, INNER_PRODUCT, BATCH_NORM, AFFINE, ACTIVATION, NORMALISE, POOLING, RESIZE, ARRANGE, BLOCKS, PARTS),
    *(COMBINE, REDUCE, RECURRENT, DATA, DETECTION, BINARY),
)

LAYERS: Dict[str, LayerType] = {entry.name: entry for family in _FAMILIES for entry in family}

# The types for which BVLC Caffe accepts no blobs (net.cpp:752, "Incompatible number of blobs").
WITHOUT_BLOBS = frozenset(
    name
    for name, entry in LAYERS.items()
    if entry.blobs is None and not entry.foreign and name not in ("BatchNorm", "Python")
)

ALIASES: Dict[str, str] = {
    "HoleConvolution": "Convolution",
    "DepthwiseConv": "ConvolutionDepthwise",
    "DepthwiseConvolution": "ConvolutionDepthwise",
    "CuDNNBatchNorm": "BatchNorm",
    "CuDNNConvolution": "Convolution",
    "CuDNNDeconvolution": "Deconvolution",
    "CuDNNDropout": "Dropout",
    "CuDNNLRN": "LRN",
    "CuDNNPooling": "Pooling",
    "CuDNNReLU": "ReLU",
    "CuDNNSigmoid": "Sigmoid",
    "CuDNNSoftmax": "Softmax",
    "CuDNNTanH": "TanH",
    "MKLBatchNorm": "BatchNorm",
    "MKLConcat": "Concat",
    "MKLConvolution": "Convolution",
    "MKLDeconvolution": "Deconvolution",
    "MKLEltwise": "Eltwise",
    "MKLInnerProduct": "InnerProduct",
    "MKLLRN": "LRN",
    "MKLPooling": "Pooling",
    "MKLReLU": "ReLU",
    "MKLSplit": "Split",
    "PriorBoxClustered": "PriorBox",
}


def find(type_name: str) -> Optional[LayerType]:
    """The layer type of this name or alias; None if it is not known."""
    return LAYERS.get(ALIASES.get(type_name, type_name))
