"""What a net costs: counted by hand, and against published figures of known architectures."""

from __future__ import annotations

from typing import Dict, List

import pytest
from nets import batch_norm, caffemodel, convolution, layer, model, numbers, scale, text

import caffe_fuse
from caffe_fuse.net.cost import Cost, cost_of


def cost(layers: List[str], shape: List[int]) -> Cost:
    return cost_of(model(text(*layers, shape=shape), None).net)


def windowed(name: str, bottom: str, outputs: int, settings: str) -> str:
    return layer(name, "Convolution", bottom, name, f"convolution_param {{ num_output: {outputs} {settings} }}")


def product(name: str, bottom: str, outputs: int) -> str:
    return layer(name, "InnerProduct", bottom, name, f"inner_product_param {{ num_output: {outputs} }}")


def vgg16() -> List[str]:
    """Simonyan and Zisserman, configuration D."""
    layers: List[str] = []
    last = "x"
    for stage, (count, outputs) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]):
        for place in range(count):
            name = f"conv{stage}_{place}"
            layers.append(windowed(name, last, outputs, "kernel_size: 3 pad: 1"))
            last = name
        layers.append(
            layer(f"pool{stage}", "Pooling", last, f"pool{stage}", "pooling_param { kernel_size: 2 stride: 2 }")
        )
        last = f"pool{stage}"
    return [*layers, product("fc6", last, 4096), product("fc7", "fc6", 4096), product("fc8", "fc7", 1000)]


def mobilenet() -> List[str]:
    """Howard et al., width 1, 224 pixels."""
    layers = [windowed("conv", "x", 32, "kernel_size: 3 stride: 2 pad: 1 bias_term: false")]
    last, inputs = "conv", 32
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    outputs = [64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    for place, (stride, channels) in enumerate(zip(strides, outputs)):
        depthwise = f"kernel_size: 3 stride: {stride} pad: 1 group: {inputs} bias_term: false"
        layers.append(windowed(f"dw{place}", last, inputs, depthwise))
        layers.append(windowed(f"pw{place}", f"dw{place}", channels, "kernel_size: 1 bias_term: false"))
        last, inputs = f"pw{place}", channels
    layers.append(layer("pool", "Pooling", last, "pool", "pooling_param { pool: AVE global_pooling: true }"))
    return [*layers, product("fc", "pool", 1000)]


@pytest.mark.parametrize(
    ("layers", "published", "parameters"),
    [(vgg16(), 15.5e9, 138.4e6), (mobilenet(), 569e6, 4.2e6)],
    ids=["vgg", "mobile"],
)
def test_known_architectures_cost_what_is_published(layers: List[str], published: float, parameters: float) -> None:
    found = cost(layers, [1, 3, 224, 224])
    assert found.multiply_adds == pytest.approx(published, rel=0.005)
    assert found.parameters == pytest.approx(parameters, rel=0.02)


def test_each_kind_of_layer_by_hand() -> None:
    layers = [
        windowed("c", "x", 6, "kernel_size: 3 group: 2"),
        layer("d", "Deconvolution", "c", "d", "convolution_param { num_output: 4 kernel_size: 2 stride: 2 }"),
        batch_norm("b", "d", "d"),
        scale("s", "d", "s"),
        layer("r", "ReLU", "s", "s"),
        layer("f", "Flatten", "s", "f"),
        product("p", "f", 5),
    ]
    found = cost(layers, [2, 4, 5, 6])
    convolved, deconvolved = 2 * 6 * 3 * 4, 2 * 4 * 6 * 8
    multiply_adds = convolved * 2 * 9 + convolved * 4 * 4 + 2 * deconvolved + 2 * 5 * 192
    expected: Dict[str, int] = dict.fromkeys(
        ["Convolution", "Deconvolution", "BatchNorm", "Scale", "ReLU", "Flatten", "InnerProduct"], 1
    )
    parameters = 6 * 2 * 9 + 6 + 6 * 4 * 4 + 4 + (4 + 4 + 1) + 8 + 5 * 192 + 5
    activations = 4 * (2 * 4 * 5 * 6 + convolved + 2 * deconvolved + 2 * 5)
    assert Cost(expected, parameters, multiply_adds, activations) == found


def test_a_fold_saves_what_it_takes_away() -> None:
    prototxt = text(convolution(), batch_norm(), scale(), layer("r", "ReLU", "s", "s"))
    report = caffe_fuse.fuse(model(prototxt, caffemodel(prototxt, numbers(prototxt)))).report
    saved = report.savings
    elements = 2 * 6 * 3 * 4
    assert 2 * elements == (saved.before.multiply_adds or 0) - (saved.after.multiply_adds or 0)
    assert 2 * elements * 4 == (saved.before.activation_bytes or 0) - (saved.after.activation_bytes or 0)
    assert ({"Convolution": 1, "BatchNorm": 1, "Scale": 1}, {"Convolution": 1}) == (
        saved.changed_before.layers,
        saved.changed_after.layers,
    )


def test_what_depends_on_an_unknown_size_is_not_known() -> None:
    found = cost_of(model(b'layer { name: "d" type: "Input" top: "x" }\n' + convolution().encode(), None).net)
    assert (None, None) == (found.multiply_adds, found.activation_bytes)
