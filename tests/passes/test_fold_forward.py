"""Chains that fold into the layer after them: before and after, and the judge's word on the values."""

from __future__ import annotations

from pathlib import Path

import pytest
from nets import batch_norm, convolution, fuse, layer, scale, text
from test_backward import carried as becomes
from test_backward import left

RELU = layer("r", "ReLU", "x", "r")


def deconvolution(settings: str, bottom: str = "b") -> str:
    inner = f"convolution_param {{ num_output: 6 {settings} }}"
    return layer("c", "Deconvolution", bottom, "c", inner)


@pytest.mark.parametrize("group", ["", "group: 2"])
def test_into_a_convolution_without_padding(group: str) -> None:
    layers = [RELU, batch_norm("b", "r", "b"), scale("s", "b", "s"), convolution(bottom="s", settings=group)]
    fused = becomes(layers, [RELU, convolution(bottom="r", settings=group)])
    assert {"b": None, "s": None} == fused.result.report.vanished_blobs


def test_into_a_layer_without_a_bias() -> None:
    layers = [RELU, batch_norm("b", "r", "b"), convolution(bottom="b", settings="bias_term: false")]
    becomes(layers, [RELU, convolution(bottom="r", settings="bias_term: true")])


def test_into_a_layer_that_absorbs_a_chain_after_it_as_well() -> None:
    layers = [
        RELU,
        batch_norm("b", "r", "b"),
        convolution(bottom="b"),
        batch_norm("b2", "c", "c"),
        scale("s", "c", "s"),
    ]
    fused = becomes(layers, [RELU, convolution(bottom="r", top="s")])
    (rewrite,) = fused.result.report.folded
    assert ["b", "b2", "s"] == [each.layer for each in rewrite.absorbed]


@pytest.mark.parametrize("transposed", ["", "transpose: true"])
def test_into_an_inner_product_each_channel_is_many_inputs(transposed: str) -> None:
    product = layer("c", "InnerProduct", "%s", "c", f"inner_product_param {{ num_output: 3 {transposed} }}")
    becomes([RELU, batch_norm("b", "r", "b"), product % "b"], [RELU, product.replace("%s", "r")])


def test_the_proof_counts_axes_from_the_end(tmp_path: Path) -> None:
    layers = [scale("s", "x", "s", "scale_param { axis: -3 bias_term: true }"), convolution(bottom="s")]
    fused = becomes(layers, [convolution(bottom="x")])
    fused.result.save(tmp_path / "out")


def test_of_an_input_of_the_net() -> None:
    becomes([scale("s", "x", "s"), convolution(bottom="s")], [convolution(bottom="x")])


def test_padding_takes_a_scale_without_a_shift() -> None:
    power = layer("s", "Power", "x", "s", "power_param { scale: 0.0078125 }")
    becomes([power, convolution(bottom="s", settings="pad: 1")], [convolution(bottom="x", settings="pad: 1")])


def test_a_deconvolution_takes_a_scale_and_with_one_product_for_each_value_a_shift() -> None:
    power = layer("s", "Scale", "x", "s")
    settings = "kernel_size: 3 stride: 2 group: 2"
    becomes([power, deconvolution(settings, "s")], [deconvolution(settings, "x")])
    layers = [RELU, batch_norm("b", "r", "b"), deconvolution("kernel_size: 1 group: 2")]
    becomes(layers, [RELU, deconvolution("kernel_size: 1 group: 2", "r")])


def test_a_value_with_other_consumers_before_the_chain_is_no_obstacle() -> None:
    other = layer("o", "Sigmoid", "r", "o")
    becomes([RELU, batch_norm("b", "r", "b"), other, convolution(bottom="b")], [RELU, other, convolution(bottom="r")])


# What does not


def test_padding_does_not_take_a_shift() -> None:
    reason = "Convolution c after it cannot absorb it: it pads with zeros, which the shift would not reach"
    left(reason, RELU, batch_norm("b", "r", "b"), convolution(bottom="b", settings="pad: 1"))


def test_a_deconvolution_with_a_kernel_does_not_take_a_shift() -> None:
    reason = "Deconvolution c after it cannot absorb it: its sums take in different numbers of values"
    left(reason, RELU, batch_norm("b", "r", "b"), deconvolution("kernel_size: 2 stride: 2"))


def test_a_chain_that_overwrites_the_blob_it_reads_stays() -> None:
    relu, norm = layer("r", "ReLU", "x", "r"), batch_norm("b", "r", "r")
    left("blob r, which it overwrites, would hold another value", relu, norm, convolution(bottom="r"))


def test_two_consumers_stop_it() -> None:
    layers = [RELU, batch_norm("b", "r", "b"), convolution(bottom="b"), layer("o", "Sigmoid", "b", "o")]
    left("it reads the output of ReLU r, which cannot absorb it", *layers)


def test_shared_weights_stop_it() -> None:
    shared = 'param { name: "w" } param { name: "v" }'
    layers = [RELU, batch_norm("b", "r", "b"), convolution(bottom="b", rest=shared)]
    left("Convolution c shares its weights with Convolution d", *layers, convolution("d", "r", "d", shared))


def test_keep_names_the_layer_after_it() -> None:
    left("--keep names Convolution c", RELU, batch_norm("b", "r", "b"), convolution(bottom="b"), keep=["c"])


def test_only_direct_folds() -> None:
    layers = [RELU, batch_norm("b", "r", "b"), convolution(bottom="b")]
    left("it reads the output of ReLU r, which cannot absorb it", *layers, folds="direct")
    assert [] == list(fuse(text(*layers), folds="all").result.report.converted)
