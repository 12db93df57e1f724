"""Writes the sample nets: residual nets with BatchNorm and Scale after each convolution.

    python sample_nets/generate.py                                  the files of this folder
    python sample_nets/generate.py --weights resnet50 FILE          weights for one of the definitions

The weights are random, but the statistics in the BatchNorm layers are close to those of pixels from 0 to 255, so
activations stay in a sane range. The seed is the net's name, so the files are always the same. The weights of
digits_resnet are trained by train_digits.py.
"""

from __future__ import annotations

import argparse
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from google.protobuf import text_format

from caffe_fuse.protobuf import wire
from caffe_fuse.schema import messages as schema

HERE = Path(__file__).resolve().parent


class Net(NamedTuple):
    """A residual net. blocks, widths: one of each stage; widths are the channels of the 3x3 convolutions."""

    blocks: Tuple[int, ...]
    widths: Tuple[int, ...]
    bottleneck: bool
    image: int
    classes: int
    colours: int = 3


NETS = {
    "resnet20_cifar": Net((3, 3, 3), (16, 32, 64), False, 32, 10),
    "digits_resnet": Net((2, 2), (16, 32), False, 8, 10, colours=1),
    "resnet50": Net((3, 4, 6, 3), (64, 128, 256, 512), True, 224, 1000),
    "resnet101": Net((3, 4, 23, 3), (64, 128, 256, 512), True, 224, 1000),
    "resnet152": Net((3, 8, 36, 3), (64, 128, 256, 512), True, 224, 1000),
}
WITH_WEIGHTS = ("resnet20_cifar",)


def definition(name: str) -> str:
    """Returns the prototxt of a net."""
    net = NETS[name]
    lines = [f'name: "{name}"', "# The input is in pixel values, 0 to 255, and no mean is subtracted."]
    return "\n".join([*lines, *_layers(net), ""])


def _layers(net: Net) -> Iterator[str]:
    shape = f"dim: 1 dim: {net.colours} dim: {net.image} dim: {net.image}"
    yield _layer("data", "Input", [], "data", f"input_param {{ shape {{ {shape} }} }}")
    if net.bottleneck:
        yield from _convolution("stem", "data", 64, kernel=7, stride=2)
        pooling = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
        yield _layer("stem_pool", "Pooling", ["stem"], "stem_pool", pooling)
        top, channels = "stem_pool", 64
    else:
        yield from _convolution("stem", "data", net.widths[0], kernel=3)
        top, channels = "stem", net.widths[0]
    for stage, (blocks, width) in enumerate(zip(net.blocks, net.widths), 1):
        outputs = width * 4 if net.bottleneck else width
        for block in range(1, blocks + 1):
            name = f"stage{stage}_block{block}"
            stride = 2 if block == 1 and stage > 1 else 1
            yield f"# Stage {stage}, block {block} of {blocks}"
            shortcut = top
            if channels != outputs:
                shortcut = f"{name}_shortcut"
                yield from _convolution(shortcut, top, outputs, kernel=1, stride=stride, relu=False)
            yield from _branch(net, name, top, width, stride)
            yield _layer(name, "Eltwise", [shortcut, f"{name}_out"], name, "eltwise_param { operation: SUM }")
            yield _layer(f"{name}_relu", "ReLU", [name], name)
            top, channels = name, outputs
    yield _layer("pool", "Pooling", [top], "pool", "pooling_param { pool: AVE global_pooling: true }")
    classes = f"inner_product_param {{ num_output: {net.classes} }}"
    yield _layer("classes", "InnerProduct", ["pool"], "classes", classes)
    yield _layer("probabilities", "Softmax", ["classes"], "probabilities")


def _branch(net: Net, name: str, bottom: str, width: int, stride: int) -> Iterator[str]:
    """Yields the convolutions of one block; the last one is NAME_out."""
    if net.bottleneck:
        yield from _convolution(f"{name}_conv1", bottom, width, kernel=1, stride=stride)
        yield from _convolution(f"{name}_conv2", f"{name}_conv1", width, kernel=3)
        yield from _convolution(f"{name}_out", f"{name}_conv2", width * 4, kernel=1, relu=False)
    else:
        yield from _convolution(f"{name}_conv1", bottom, width, kernel=3, stride=stride)
        yield from _convolution(f"{name}_out", f"{name}_conv1", width, kernel=3, relu=False)


def _convolution(
    name: str, bottom: str, outputs: int, *, kernel: int, stride: int = 1, relu: bool = True
) -> Iterator[str]:
    places = f"kernel_size: {kernel} pad: {kernel // 2} stride: {stride}"
    parameter = f"convolution_param {{ num_output: {outputs} {places} bias_term: false }}"
    yield _layer(name, "Convolution", [bottom], name, parameter)
    yield _layer(f"{name}_bn", "BatchNorm", [name], name, "batch_norm_param { use_global_stats: true }")
    yield _layer(f"{name}_scale", "Scale", [name], name, "scale_param { bias_term: true }")
    if relu:
        yield _layer(f"{name}_relu", "ReLU", [name], name)


def _layer(name: str, layer_type: str, bottoms: Sequence[str], top: str, *parameters: str) -> str:
    lines = [f'name: "{name}"', f'type: "{layer_type}"', *(f'bottom: "{bottom}"' for bottom in bottoms)]
    lines += [f'top: "{top}"', *parameters]
    return "\n".join(["layer {", *(f"  {line}" for line in lines), "}"])


class Moments(NamedTuple):
    """Estimates of the values of a blob. mean, variance: float64, one for each channel."""

    mean: np.ndarray
    variance: np.ndarray


# Caffe stores sums over the training, and the factor to divide them by: the sum of 0.999^i, nearly 1000.
FACTOR = 999.98
EPS = 1e-5
SLACK = 0.15

Random = np.random.RandomState
Made = Tuple[Moments, List[np.ndarray]]


def _uniform(random: Random, shape: Tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Returns uniform values, which unlike normal ones are the same to the last bit on every machine."""
    numbers = random.random_sample(shape)
    numbers *= high - low
    numbers += low
    return numbers


def _input(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    channels = layer.input_param.shape[0].dim[1]
    return Moments(np.full(channels, 120.0), np.full(channels, 70.0**2)), []


def _weights(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    """Returns weights that preserve the variance after a ReLU.

    SLACK makes the variance that BatchNorm expects a little too large: without it, the errors of these estimates grow
    from layer to layer, and in a deep net one class wins for every image.
    """
    parameter = layer.convolution_param
    (mean, variance), kernel = bottoms[0], parameter.kernel_size[0]
    bound = math.sqrt(6 / (len(mean) * kernel**2))
    weights = _uniform(random, (parameter.num_output, len(mean), kernel, kernel), -bound, bound)
    sums = weights.sum(axis=(2, 3)), np.square(weights).sum(axis=(2, 3))
    spread = variance + SLACK * mean**2
    return Moments((sums[0] * mean).sum(axis=1), (sums[1] * spread).sum(axis=1)), [weights]


def _batch_norm(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    mean, variance = bottoms[0]
    normalised = Moments(np.zeros(len(mean)), variance / (variance + EPS))
    return normalised, [mean * FACTOR, variance * FACTOR, np.array([FACTOR])]


def _scale(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    mean, variance = bottoms[0]
    scale, shift = _uniform(random, mean.shape, 0.4, 1.2), _uniform(random, mean.shape, -0.3, 0.3)
    return Moments(mean * scale + shift, variance * scale**2), [scale, shift]


def _relu(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    """Returns the moments of max(x, 0) for a normally distributed x."""
    deviation = np.sqrt(bottoms[0].variance)
    ratio = bottoms[0].mean / deviation
    above = np.array([(1 + math.erf(each / math.sqrt(2))) / 2 for each in ratio])
    density = np.array([math.exp(-each * each / 2) / math.sqrt(2 * math.pi) for each in ratio])
    mean = deviation * (ratio * above + density)
    square = deviation**2 * ((ratio**2 + 1) * above + ratio * density)
    return Moments(mean, square - mean**2), []


def _pooling(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    """Estimates the moments by a rule of thumb: neighbouring pixels are alike."""
    mean, variance = bottoms[0]
    if layer.pooling_param.global_pooling:
        return Moments(mean, variance * 0.1), []
    return Moments(mean + 0.8 * np.sqrt(variance), variance * 0.6), []


def _sum(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    one, other = bottoms
    return Moments(one.mean + other.mean, one.variance + other.variance), []


def _classes(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    """Returns weights with scores of about -3 to 3 for images that differ from the average."""
    mean, variance = bottoms[0]
    bound = 1.5 * math.sqrt(3 / variance.sum())
    weights = _uniform(random, (layer.inner_product_param.num_output, len(mean)), -bound, bound)
    bias = -(weights * mean).sum(axis=1)
    return Moments(np.zeros(len(bias)), np.full(len(bias), 1.5**2)), [weights, bias]


def _softmax(layer: Any, bottoms: Sequence[Moments], random: Random) -> Made:
    return bottoms[0], []


MAKERS: Dict[str, Callable[[Any, Sequence[Moments], Random], Made]] = {
    "Input": _input,
    "Convolution": _weights,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "ReLU": _relu,
    "Pooling": _pooling,
    "Eltwise": _sum,
    "InnerProduct": _classes,
    "Softmax": _softmax,
}


def write_weights(name: str, path: Path) -> None:
    """Writes the caffemodel of a net."""
    net = text_format.Parse(definition(name), schema.new("NetParameter"))
    random = np.random.RandomState(zlib.crc32(name.encode()))
    moments: Dict[str, Moments] = {}
    with path.open("wb") as file:
        file.write(wire.delimited(1, name.encode()))
        for layer in net.layer:
            bottoms = [moments[bottom] for bottom in layer.bottom]
            moments[layer.top[0]], blobs = MAKERS[layer.type](layer, bottoms, random)
            write_layer(file, layer, blobs)


def write_layer(file: BinaryIO, layer: Any, blobs: Sequence[np.ndarray]) -> None:
    """Appends a layer of a caffemodel to the file, with its blobs as float32."""
    pieces = [layer.SerializeToString()]
    for blob in blobs:
        # BlobProto: packed floats in field 5, the shape in field 7; protobuf itself is slow at appending floats.
        numbers = blob.astype("<f4").tobytes()
        data = wire.tag(5, wire.DELIMITED) + wire.varint_bytes(len(numbers))
        shape = wire.delimited(7, wire.delimited(1, b"".join(map(wire.varint_bytes, blob.shape))))
        size = wire.varint_bytes(len(data) + len(numbers) + len(shape))
        pieces += [wire.tag(7, wire.DELIMITED), size, data, numbers, shape]
    file.write(wire.tag(100, wire.DELIMITED) + wire.varint_bytes(sum(map(len, pieces))))
    file.writelines(pieces)


def write_all(folder: Path) -> None:
    """Writes the definitions of all nets, and the weights of the small ones."""
    for name in NETS:
        (folder / f"{name}.prototxt").write_bytes(definition(name).encode())
    for name in WITH_WEIGHTS:
        write_weights(name, folder / f"{name}.caffemodel")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the sample nets.")
    parser.add_argument("--weights", nargs=2, metavar=("NET", "FILE"), help=f"one of {', '.join(NETS)}")
    arguments = parser.parse_args()
    if arguments.weights is None:
        write_all(HERE)
    elif arguments.weights[0] in NETS:
        write_weights(arguments.weights[0], Path(arguments.weights[1]))
    else:
        parser.error(f"there is no net {arguments.weights[0]}, only {', '.join(NETS)}")


if __name__ == "__main__":
    main()
