"""Nets for measurements: deep ones of five shapes, with few weights, and a wide one of 1 GB.

    python benchmarks/made_nets.py chain 2000 PREFIX      writes PREFIX.prototxt and PREFIX.caffemodel

A unit is a Convolution with BatchNorm, Scale and ReLU. Weights are random, the same ones each time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from google.protobuf import text_format

from caffe_fuse.schema import messages as schema

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "sample_nets"))
from generate import write_layer

CHANNELS = 4
# The most channels of a Concat before a unit reduces them to CHANNELS.
MOST = 64


class Writer:
    """A net that grows, and its weights. path: of both files, without suffix."""

    def __init__(self, path: Path, shape: Sequence[int]) -> None:
        self._net = schema.new("NetParameter")
        self._net.input.append("x")
        self._net.input_shape.add().dim.extend(shape)
        self._path = path
        self._weights = path.with_suffix(".caffemodel").open("wb")
        self._random = np.random.RandomState(1)
        self.channels: Dict[str, int] = {"x": shape[1]}

    @property
    def layers(self) -> int:
        return len(self._net.layer)

    def layer(
        self, kind: str, bottoms: Sequence[str], top: str, blobs: Sequence[np.ndarray] = (), **settings: Any
    ) -> str:
        """Adds a layer. settings: its messages, each as a dict. Returns its top."""
        layer = self._net.layer.add(name=f"{kind}{self.layers}", type=kind, bottom=bottoms, top=[top], **settings)
        write_layer(self._weights, layer, blobs)
        self.channels.setdefault(top, sum(self.channels[bottom] for bottom in bottoms))
        return top

    def unit(self, bottom: str, outputs: int = CHANNELS, relu: bool = True) -> str:
        top, random = f"c{self.layers}", self._random
        shape = (outputs, self.channels[bottom], 3, 3)
        weights = random.standard_normal(shape).astype(np.float32) * np.float32((shape[1] * 4.5) ** -0.5)
        mean, variance, gamma, beta = (random.rand(outputs) + low for low in (0, 0.5, 0.5, -0.5))
        settings = {"num_output": outputs, "kernel_size": [3], "pad": [1], "bias_term": False}
        self.channels[top] = outputs
        self.layer("Convolution", [bottom], top, [weights], convolution_param=settings)
        self.layer("BatchNorm", [top], top, [mean, variance, np.ones(1)])
        self.layer("Scale", [top], top, [gamma, beta], scale_param={"bias_term": True})
        return self.layer("ReLU", [top], top) if relu else top

    def close(self) -> None:
        self._weights.close()
        self._path.with_suffix(".prototxt").write_text(text_format.MessageToString(self._net))


def chain(net: Writer, layers: int) -> None:
    top = "x"
    while net.layers < layers:
        top = net.unit(top)


def fork(net: Writer, layers: int) -> None:
    """All units read the input, and one Eltwise reads them."""
    tops: List[str] = []
    while net.layers < layers:
        tops.append(net.unit("x"))
    _sum(net, tops)


def residual(net: Writer, layers: int) -> None:
    top = net.unit("x")
    while net.layers < layers:
        top = _sum(net, [top, net.unit(net.unit(top), relu=False)])


def dense(net: Writer, layers: int) -> None:
    """Each unit reads the Concat of those before it, as in a DenseNet."""
    top = net.unit("x")
    while net.layers < layers:
        top = net.layer("Concat", [top, net.unit(top)], f"cat{net.layers}")
        if net.channels[top] >= MOST:
            top = net.unit(top)


def tree(net: Writer, layers: int) -> None:
    """Concats of two at a time, up to one."""
    level = [net.unit("x") for _ in range(layers // 5)]
    while len(level) > 1:
        pairs = [level[place : place + 2] for place in range(0, len(level), 2)]
        level = [net.layer("Concat", pair, f"cat{net.layers}") if pair[1:] else pair[0] for pair in pairs]


def _sum(net: Writer, bottoms: Sequence[str]) -> str:
    top = f"sum{net.layers}"
    net.channels[top] = net.channels[bottoms[0]]
    return net.layer("Eltwise", bottoms, top)


SHAPES = {"chain": chain, "fork": fork, "residual": residual, "dense": dense, "tree": tree}


def write(shape: str, layers: int, path: Path) -> None:
    """Writes a net of one of SHAPES with about this many layers."""
    net = Writer(path, (1, CHANNELS, 8, 8))
    SHAPES[shape](net, layers)
    net.close()


def write_wide(path: Path, units: int = 27, channels: int = 1024) -> None:
    """Writes a net with few layers and 1 GB of weights."""
    net = Writer(path, (1, channels, 8, 8))
    top = "x"
    for _ in range(units):
        top = net.unit(top, channels)
    net.close()


def main(arguments: Tuple[str, ...]) -> None:
    shape, layers, prefix = arguments
    write(shape, int(layers), Path(prefix))


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
