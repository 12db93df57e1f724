"""A minimal fold with protobuf and numpy, which fuse_speed.py compares with.

    python benchmarks/naive_fold.py NET WEIGHTS PREFIX

It handles only in-place chains of Convolution, BatchNorm and Scale, checks nothing and holds the whole model in memory.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from google.protobuf import text_format

from caffe_fuse.schema import messages as schema


def main(net_path: str, weights_path: str, prefix: str) -> None:
    net = text_format.Parse(Path(net_path).read_text(), schema.new("NetParameter"))
    weights = schema.new("NetParameter")
    weights.ParseFromString(Path(weights_path).read_bytes())
    stored = {layer.name: layer for layer in weights.layer}

    kept: List[Any] = []
    writer: Dict[str, Any] = {}
    norm: Dict[str, Any] = {}
    for layer in net.layer:
        if layer.type == "BatchNorm":
            norm[layer.top[0]] = layer
        elif layer.type == "Scale":
            convolution, batch_norm = writer[layer.top[0]], norm[layer.top[0]]
            fold(stored[convolution.name], stored[batch_norm.name], stored[layer.name], batch_norm)
            convolution.convolution_param.bias_term = True
        else:
            kept.append(layer)
            writer[layer.top[0]] = layer

    keep_only(net, {layer.name for layer in kept})
    keep_only(weights, {layer.name for layer in kept})
    Path(prefix + ".prototxt").write_text(text_format.MessageToString(net))
    Path(prefix + ".caffemodel").write_bytes(weights.SerializeToString())


def fold(convolution: Any, batch_norm: Any, scale: Any, parameters: Any) -> None:
    mean, variance, factor = (np.array(blob.data, np.float64) for blob in batch_norm.blobs)
    gamma, beta = (np.array(blob.data, np.float64) for blob in scale.blobs)
    gain = gamma / np.sqrt(variance / factor + parameters.batch_norm_param.eps)
    blob = convolution.blobs[0]
    numbers = np.array(blob.data, np.float64).reshape(len(gain), -1) * gain[:, np.newaxis]
    del blob.data[:]
    blob.data.extend(numbers.ravel().tolist())
    bias = convolution.blobs.add()
    bias.shape.dim.append(len(gain))
    bias.data.extend((beta - mean / factor * gain).tolist())


def keep_only(net: Any, names: Any) -> None:
    for index in range(len(net.layer) - 1, -1, -1):
        if net.layer[index].name not in names:
            del net.layer[index]


if __name__ == "__main__":
    main(*sys.argv[1:])
