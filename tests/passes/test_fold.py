"""What folds and what does not: the prototxt before and after, and the values according to the judge."""

from __future__ import annotations

from typing import Any, List, Sequence

import numpy as np
import pytest
from nets import Blobs, Fused, batch_norm, convolution, fuse, layer, numbers, records, scale, text

from caffe_fuse.net.state import State
from caffe_fuse.schema import messages as schema

SHAPE = (2, 4, 5, 6)
TRAIN = State(phase="TRAIN")


def becomes(before: Sequence[str], after: Sequence[str], shape: Sequence[int] = SHAPE, **options: Any) -> Fused:
    """Asserts the exact layers of the new net, and that every remaining blob keeps its value."""
    fused = fuse(text(*before, shape=shape), **options)
    assert list(after) == fused.lines
    assert () == fused.violations(shape)
    return fused


def stays(*layers: str, shape: Sequence[int] = SHAPE, **options: Any) -> Fused:
    """Asserts that neither file changes by a byte."""
    fused = fuse(text(*layers, shape=shape), **options)
    assert fused.before == (fused.prototxt, fused.weights)
    return fused


def refuses(expected: str, *layers: str, name: str = "b", **options: Any) -> Fused:
    fused = stays(*layers, **options)
    assert expected == fused.refused[name]
    return fused


# What folds


@pytest.mark.parametrize(
    "settings",
    [
        "pad_type: 0",
        "pad_type: 1",
        "dilation_h: 2 dilation_w: 1",
        'conv_algorithm: "winograd"',
        "engine: MKLDNN",
        "cudnn_convolution_algo_seeker: FINDEX",
        'conv_algos_override: "1,-1,-1"',
    ],
)
def test_fields_of_other_caffes_that_are_understood(settings: str) -> None:
    before = [convolution(settings=f"bias_term: true {settings}"), batch_norm(), scale()]
    becomes(before, [convolution(top="s", settings=f"bias_term: true {settings}")])


def test_a_convolution_with_holes_is_one_with_dilation() -> None:
    hole = convolution(settings="bias_term: true hole: 2").replace("Convolution", "HoleConvolution")
    becomes([hole, batch_norm(top="c")], [hole])


def test_a_binary_convolution_absorbs_nothing_and_the_reason_says_why() -> None:
    binary = convolution().replace('"Convolution"', '"BinaryConvolution"')
    fused = fuse(text(binary, batch_norm()))
    (converted,) = fused.result.report.converted
    why = "computes with the signs of its weights: not every Caffe that has it would keep a scale in them"
    assert f"it reads the output of BinaryConvolution c, which {why}" == converted.reason


def test_the_last_top_of_a_chain_survives() -> None:
    before = [convolution(settings="bias_term: false"), batch_norm(), scale()]
    fused = becomes(before, [convolution(top="s", settings="bias_term: true")])
    assert {"c": None, "b": None} == fused.result.report.vanished_blobs


def test_a_chain_in_place_keeps_its_one_name() -> None:
    before = [convolution(), batch_norm(top="c"), scale(bottom="c", top="c"), layer("r", "ReLU", "c", "c")]
    fused = becomes(before, [convolution(), before[-1]])
    assert {} == fused.result.report.vanished_blobs


def test_the_chain_ends_before_the_first_layer_that_is_not_affine() -> None:
    relu = layer("r", "ReLU", "c", "c")
    before = [convolution(), batch_norm("b1", top="c"), relu, batch_norm("b2", top="b")]
    after = [convolution(), relu, layer("b2", "Scale", "c", "b", "scale_param { bias_term: true }")]
    becomes(before, after)


@pytest.mark.parametrize(
    "affine",
    [
        scale("a", "c", "a"),
        scale("a", "c", "a", ""),
        scale("a", "c", "a", "scale_param { num_axes: 0 bias_term: true }"),
        scale("a", "c", "a", "scale_param { axis: -3 bias_term: true }"),
        layer("a", "Bias", "c", "a"),
        layer("a", "Bias", "c", "a", "bias_param { num_axes: 0 }"),
        layer("a", "Power", "c", "a", "power_param { scale: -1.5 shift: 0.375 }"),
        batch_norm("a", "c", "a", "batch_norm_param { eps: 0.5 }"),
        batch_norm("a", "c", "a", "batch_norm_param { use_global_stats: true }"),
    ],
)
def test_every_kind_of_affine_layer_folds(affine: str) -> None:
    becomes([convolution(), affine], [convolution(top="a")])


def test_a_scale_of_all_axes_folds_where_the_channels_are_the_only_one() -> None:
    product = layer("c", "InnerProduct", "x", "%s", "inner_product_param { num_output: 6 }")
    before = [product % "c", scale("a", "c", "a", "scale_param { num_axes: -1 bias_term: true }")]
    becomes(before, [product % "a"])


WEIGHT_LAYERS = {
    "convolution": ("Convolution", "convolution_param { num_output: 6 kernel_size: 3 %s }", SHAPE),
    "convolution of groups": ("Convolution", "convolution_param { num_output: 6 kernel_size: 3 group: 2 %s }", SHAPE),
    "depthwise": ("Convolution", "convolution_param { num_output: 8 kernel_size: 2 group: 4 %s }", SHAPE),
    "dilated": ("Convolution", "convolution_param { num_output: 3 kernel_size: 2 dilation: 3 pad: 2 %s }", SHAPE),
    "in one dimension": ("Convolution", "convolution_param { num_output: 3 kernel_size: 2 %s }", (2, 4, 7)),
    "in three dimensions": ("Convolution", "convolution_param { num_output: 3 kernel_size: 2 %s }", (1, 2, 3, 4, 3)),
    "deconvolution": ("Deconvolution", "convolution_param { num_output: 6 kernel_size: 3 stride: 2 %s }", SHAPE),
    "deconvolution of groups": (
        "Deconvolution",
        "convolution_param { num_output: 6 kernel_size: 2 group: 2 %s }",
        SHAPE,
    ),
    "depthwise deconvolution": (
        "Deconvolution",
        "convolution_param { num_output: 4 kernel_size: 2 group: 4 %s }",
        SHAPE,
    ),
    "inner product": ("InnerProduct", "inner_product_param { num_output: 5 %s }", SHAPE),
    "transposed": ("InnerProduct", "inner_product_param { num_output: 5 transpose: true %s }", SHAPE),
}


@pytest.mark.parametrize("kind", WEIGHT_LAYERS)
def test_every_weight_layer_absorbs(kind: str) -> None:
    type_name, settings, shape = WEIGHT_LAYERS[kind]
    before = [layer("c", type_name, "x", "c", settings % ""), batch_norm(), scale()]
    becomes(before, [layer("c", type_name, "x", "s", settings % "")], shape)


@pytest.mark.parametrize("kind", WEIGHT_LAYERS)
def test_a_missing_bias_is_created_and_bias_term_set(kind: str) -> None:
    type_name, settings, shape = WEIGHT_LAYERS[kind]
    before = [layer("c", type_name, "x", "c", settings % "bias_term: false"), batch_norm()]
    fused = becomes(before, [layer("c", type_name, "x", "b", settings % "bias_term: true")], shape)
    assert 2 == len(fused.arrays["c"])


def test_a_factor_of_zero_means_that_mean_and_variance_are_zero() -> None:
    prototxt = text(convolution(), batch_norm())
    blobs = numbers(prototxt)
    blobs["b"][2][:] = 0
    fused = fuse(prototxt, blobs)
    assert () == fused.violations()
    expected = np.float32(np.float64(blobs["c"][1][4]) / np.sqrt(np.float64(np.float32(1e-5))))
    assert expected == fused.arrays["c"][1][4]


def test_scale_may_come_before_the_batch_norm() -> None:
    before = [convolution(), scale(bottom="c", top="s"), batch_norm(bottom="s", top="b")]
    becomes(before, [convolution(top="b")])


def test_long_chains_fold_at_once() -> None:
    before = [
        *[convolution(), batch_norm("b1", top="c"), layer("i", "Bias", "c", "i"), scale("s1", "i", "s1")],
        *[layer("p", "Power", "s1", "p", "power_param { scale: 0.25 shift: -3 }"), batch_norm("b2", "p", "e")],
    ]
    becomes(before, [convolution(top="e")])


def test_dropout_between_is_the_identity_in_inference() -> None:
    dropout = layer("d", "Dropout", "c", "d", "dropout_param { dropout_ratio: 0.3 }")
    fused = becomes([convolution(), dropout, batch_norm(bottom="d")], [convolution(top="b")])
    assert {"c": None, "d": None} == fused.result.report.vanished_blobs


def test_dropout_at_the_end_is_left_alone() -> None:
    dropout = layer("d", "Dropout", "b", "d")
    becomes([convolution(), batch_norm(), dropout], [convolution(top="b"), dropout])
    stays(convolution(), layer("d", "Dropout", "c", "d"))


def test_a_vanished_blob_names_the_one_that_holds_its_value() -> None:
    before = [convolution(), batch_norm(), layer("d", "Dropout", "b", "d"), scale(bottom="d", top="s")]
    before += [layer("d2", "Dropout", "s", "d2"), layer("p", "Power", "d2", "p", "power_param { scale: 2 }")]
    fused = fuse(text(*before))
    assert dict.fromkeys(["c", "b", "d", "s", "d2"]) == fused.result.report.vanished_blobs
    ones: Blobs = {"c": [np.ones((6, 4, 3, 3), np.float32), np.ones(6, np.float32)], "s": [np.ones(6, np.float32)]}
    before = [convolution(), layer("p", "Power", "c", "p", "power_param { shift: 2 }"), scale("s", "p", "s", "")]
    assert {"c": None, "p": "s"} == fuse(text(*before), ones).result.report.vanished_blobs


def test_a_parameter_name_that_nobody_else_uses_shares_nothing() -> None:
    named = 'param { name: "w" } param { name: "v" }'
    becomes([convolution(rest=named), batch_norm()], [convolution(top="b", rest=named)])


def test_layers_that_share_weights_fold_where_all_get_the_same_affine() -> None:
    named = 'param { name: "w" }'
    first, second = convolution("c", "x", "%s", named), convolution("d", "x", "%s", named)
    before = [first % "c", batch_norm("b", "c", "b"), second % "d", batch_norm("e", "d", "e")]
    blobs = numbers(text(*before))
    blobs["e"] = blobs["b"]
    blobs["d"][0] = blobs["c"][0]
    becomes(before, [first % "b", second % "e"], blobs=blobs)


# What becomes one Scale


ONE_SCALE = "scale_param { bias_term: true }"


@pytest.mark.parametrize("front", ["ReLU", "Sigmoid"])
def test_a_batch_norm_without_a_weight_layer_in_front_becomes_a_scale(front: str) -> None:
    before = [layer("f", front, "x", "f"), batch_norm(bottom="f"), scale()]
    fused = becomes(before, [before[0], layer("b", "Scale", "f", "s", ONE_SCALE)])
    (converted,) = fused.result.report.converted
    assert f"it reads the output of {front} f, which cannot absorb it" == converted.reason


def test_a_batch_norm_of_the_input_becomes_a_scale() -> None:
    fused = becomes([batch_norm(bottom="x")], [layer("b", "Scale", "x", "b", ONE_SCALE)])
    assert "it reads x, an input of the net" == fused.result.report.converted[0].reason


def test_layers_around_the_batch_norm_go_into_its_scale() -> None:
    before = [scale("s1", "x", "s1"), layer("d", "Dropout", "s1", "d"), batch_norm(bottom="d"), scale("s2", "b", "s2")]
    becomes(before, [layer("b", "Scale", "x", "s2", ONE_SCALE)])


def test_a_converted_layer_keeps_no_parameter_name() -> None:
    shared = 'param { name: "m" } param { name: "v" } param { name: "f" } batch_norm_param { eps: 0.25 }'
    first, second = batch_norm("b", "x", "b", shared), batch_norm("e", "b", "e", "include { phase: TEST } " + shared)
    relu = layer("r", "ReLU", "b", "b")
    after = [layer("b", "Scale", "x", "b", ONE_SCALE), relu]
    after.append(layer("e", "Scale", "b", "e", "include { phase: TEST } " + ONE_SCALE))
    becomes([first, relu, second], after)


def test_a_chain_that_overwrites_the_blob_it_reads_ends_there() -> None:
    """The name f outlives the chain, so it has to end with the value that the BatchNorm gave it."""
    before = [layer("f", "ReLU", "x", "f"), batch_norm(bottom="f", top="f"), scale(bottom="f")]
    fused = becomes(before, [before[0], layer("b", "Scale", "f", "f", ONE_SCALE), scale(bottom="f")])
    assert ["b"] == [rewrite.layer for rewrite in fused.result.report.converted]


def test_a_chain_in_place_may_go_on_under_its_own_name() -> None:
    before = [layer("f", "ReLU", "x", "f"), batch_norm(bottom="f", top="f"), scale(bottom="f", top="f")]
    becomes(before, [before[0], layer("b", "Scale", "f", "f", ONE_SCALE)])


def test_a_scale_setting_of_a_batch_norm_means_nothing_and_goes() -> None:
    stray = batch_norm(bottom="x", rest="scale_param { axis: 2 filler { value: 3 } }")
    becomes([stray], [layer("b", "Scale", "x", "b", ONE_SCALE)])


def test_a_batch_norm_of_one_channel_takes_the_axis_of_the_scale_behind_it() -> None:
    before = [batch_norm(bottom="x"), scale(rest="scale_param { axis: 2 bias_term: true }")]
    becomes(before, [layer("b", "Scale", "x", "s", "scale_param { axis: 2 bias_term: true }")], (2, 1, 5, 6))


@pytest.mark.parametrize(
    "lone",
    [
        scale("a", "r", "a"),
        layer("a", "Bias", "r", "a"),
        layer("a", "Power", "r", "a", "power_param { scale: 2 }"),
    ],
)
def test_a_lone_affine_layer_that_cannot_be_folded_stays(lone: str) -> None:
    relu = layer("r", "ReLU", "x", "r")
    refuses("it reads the output of ReLU r, which cannot absorb it", relu, lone, name="a")


def test_a_batch_norm_whose_bottom_has_more_readers_becomes_a_scale() -> None:
    relu = layer("r", "ReLU", "c", "r")
    fused = becomes(
        [convolution(), batch_norm(), relu], [convolution(), layer("b", "Scale", "c", "b", ONE_SCALE), relu]
    )
    assert "blob c has 2 consumers: b, r" == fused.result.report.converted[0].reason


def test_a_second_reader_inside_the_chain_cuts_it_there() -> None:
    relu = layer("r", "ReLU", "b", "r")
    fused = becomes([convolution(), batch_norm(), relu, scale()], [convolution(top="b"), relu, scale()])
    assert {"s": "blob b has 2 consumers: r, s"} == fused.refused


def test_a_split_behind_a_convolution_is_no_refusal() -> None:
    """The layers after it consume only one of its tops, and need their own weights."""
    fused = fuse(
        text(convolution(), layer("split", "Split", "c", "d e"), batch_norm("b", "d"), scale("s", "e")), folds="direct"
    )
    assert {"s": "it reads the output of Split split, which cannot absorb it"} == fused.refused
    assert ["b"] == [rewrite.layer for rewrite in fused.result.report.converted]


def test_a_layer_that_reads_a_blob_twice_is_two_readers() -> None:
    both = layer("e", "Eltwise", "c c", "e")
    becomes(
        [convolution(), both, batch_norm(bottom="e")], [convolution(), both, layer("b", "Scale", "e", "b", ONE_SCALE)]
    )


def test_channels_on_another_axis_do_not_fold() -> None:
    product = layer("c", "InnerProduct", "x", "c", "inner_product_param { num_output: 5 axis: 2 }")
    fused = becomes([product, batch_norm()], [product, layer("b", "Scale", "c", "b", ONE_SCALE)], (2, 4, 3))
    assert "it works along axis 1, but the channels are on axis 2" == fused.result.report.converted[0].reason


# What is refused


def test_batch_statistics_are_refused() -> None:
    fixed = batch_norm(rest="batch_norm_param { use_global_stats: false }")
    reason = "batch statistics: use_global_stats is false, so it depends on the batch"
    fused = refuses(reason, convolution(), fixed, scale())
    assert 4 == fused.result.report.refused[0].line


def test_without_use_global_stats_the_phase_decides() -> None:
    reason = "batch statistics: the phase is TRAIN, so it depends on the batch"
    refuses(reason, convolution(), batch_norm(), state=TRAIN)
    refuses(reason, convolution(), batch_norm(rest="phase: TRAIN"))
    stored = batch_norm(rest="batch_norm_param { use_global_stats: true }")
    fused = fuse(text(convolution(), stored), state=TRAIN)
    assert [convolution(top="b")] == fused.lines
    assert () == fused.violations(phase="TRAIN")


def test_dropout_is_no_identity_in_training() -> None:
    bias = layer("a", "Bias", "d", "a")
    stays(convolution(), layer("d", "Dropout", "c", "d"), bias, state=TRAIN)


def test_dropout_with_another_setting_is_no_identity() -> None:
    dropout = layer("d", "Dropout", "c", "d", "dropout_param { scale_train: false }")
    bias = layer("a", "Bias", "d", "a")
    fused = stays(convolution(), dropout, bias)
    assert "it reads the output of Dropout d, which cannot absorb it" == fused.refused["a"]


def test_a_scale_whose_numbers_another_layer_makes_is_refused() -> None:
    gate = layer("g", "Sigmoid", "x", "g")
    two = layer("s", "Scale", "c g", "s", "scale_param { axis: 0 }")
    reason = "its values come from another layer: it has 2 bottoms"
    refuses(reason, gate, convolution(settings="pad: 1").replace("num_output: 6", "num_output: 4"), two, name="s")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("axis: 2", "it works along axis 2, but the channels are on axis 1"),
        ("axis: 0", "it works along axis 0, but the channels are on axis 1"),
        ("num_axes: 2", "its blob of shape 6x3 covers more than one axis"),
        ("num_axes: -1", "its blob of shape 6x3x4 covers more than one axis"),
    ],
)
def test_a_scale_of_other_axes_than_the_channels_is_refused(settings: str, reason: str) -> None:
    refuses(reason, convolution(), scale("s", "c", "s", f"scale_param {{ {settings} }}"), name="s")


def test_a_power_that_is_not_linear_is_refused() -> None:
    reason = "its power is 2, but only a power of 1 is y = scale * x + shift"
    refuses(reason, convolution(), layer("p", "Power", "c", "p", "power_param { power: 2 }"), name="p")


def shared_siblings(reader: str = "e") -> List[str]:
    named = 'param { name: "w" }'
    first, second = convolution("c", "x", "c", named), convolution("d", "x", "d", named)
    return [first, scale("b", "c", "b"), second, scale("e", "d", reader)]


def test_weights_shared_under_different_affines_are_refused() -> None:
    fused = stays(*shared_siblings())
    reason = "Convolution %s shares its weights with Convolution %s, which does not get the same scale and shift"
    assert {"b": reason % ("c", "d"), "e": reason % ("d", "c")} == fused.refused


def test_weights_shared_with_a_layer_that_has_no_affine_are_refused() -> None:
    layers = shared_siblings()[:3]
    assert ["b"] == list(stays(*layers).refused)


def test_where_one_sharer_turns_out_to_absorb_nothing_none_does() -> None:
    prototxt = text(*shared_siblings())
    blobs = numbers(prototxt)
    blobs["b"] = blobs["e"] = [np.full(6, 4, np.float32), np.ones(6, np.float32)]
    blobs["d"] = [blobs["c"][0], np.full(6, 1e38, np.float32)]
    fused = fuse(prototxt, blobs)
    assert fused.before == (fused.prototxt, fused.weights)
    assert "the new bias of channel 0, 4e+38, is not a finite float32" == fused.refused["e"]


def test_one_blob_as_weights_and_bias_is_refused() -> None:
    named = 'param { name: "w" } param { name: "w" share_mode: PERMISSIVE }'
    one = layer("c", "InnerProduct", "x", "c", "inner_product_param { num_output: 1 } " + named)
    lines = text(one, layer("p", "Power", "c", "p", "power_param { scale: 2 }"), shape=(3, 1))
    fused = fuse(lines, {"c": [np.full((1, 1), 3, np.float32), np.full(1, 3, np.float32)]})
    assert fused.before == (fused.prototxt, fused.weights)
    assert {"p": "the weights and the bias of InnerProduct c are one shared blob"} == fused.refused


def test_numbers_beyond_float32_are_refused() -> None:
    prototxt = text(convolution(), scale("b", "c", "b"))
    blobs = numbers(prototxt)
    blobs["c"][0][3, 1] = 3e38
    blobs["b"][0][3] = 4
    fused = fuse(prototxt, blobs)
    assert fused.before == (fused.prototxt, fused.weights)
    assert {"b": "the folded weights of Convolution c would not be finite in float32"} == fused.refused


def test_a_large_weight_in_a_channel_of_small_scale_folds() -> None:
    prototxt = text(convolution(), scale("b", "c", "b"))
    blobs = numbers(prototxt)
    blobs["c"][0][3, 1] = 1e38
    blobs["b"][0][:] = [9, 1, 2, 0.5, 3, 4]
    assert [convolution(top="b")] == fuse(prototxt, blobs).lines


def test_a_scale_or_statistics_that_are_not_finite_are_refused() -> None:
    prototxt = text(convolution(), batch_norm())
    blobs = numbers(prototxt)
    blobs["b"][1][2] = -1
    assert "its variance + eps is -0.00099002 in channel 2" == fuse(prototxt, blobs).refused["b"]
    blobs["b"][1][2] = np.nan
    assert "its variance + eps is nan in channel 2" == fuse(prototxt, blobs).refused["b"]


def test_a_variance_that_half_precision_has_spoiled_is_refused_and_not_safe() -> None:
    prototxt = text(convolution(), batch_norm())
    blobs = numbers(prototxt)
    blobs["b"][1][2] = np.inf
    fused = fuse(prototxt, blobs, half_policy="ieee")
    assert "its variance + eps is inf in channel 2" == fused.refused["b"]
    assert 1 == fused.result.report.status


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("quant { bits: 8 }", "", "field convolution_param.quant of Convolution c is not understood"),
        ("", "batch_norm_param { clip: 6 }", "its field batch_norm_param.clip is not understood"),
    ],
)
def test_a_field_that_is_not_understood_is_refused(first: str, second: str, reason: str) -> None:
    fused = fuse(text(convolution(), batch_norm()))
    blobs = fused.before[1]
    later = fuse(text(convolution(settings=first), batch_norm(rest=second)), weights=blobs)
    assert reason == (later.refused or {"b": later.result.report.converted[0].reason})["b"]
    assert convolution(settings=first) == later.lines[0]


def test_a_weight_layer_of_two_bottoms_is_refused() -> None:
    twice = convolution("c", "x x", "c d")
    fused = becomes([twice, batch_norm()], [twice, layer("b", "Scale", "c", "b", ONE_SCALE)])
    reason = "Convolution c has 2 bottoms and 2 tops that share its weights"
    assert reason == fused.result.report.converted[0].reason


@pytest.mark.parametrize(
    ("bottom", "top", "reason"),
    [
        ("c", "b d", "it has 1 bottoms and 2 tops, expected one each"),
        ("c x", "b", "it has 2 bottoms and 1 tops, expected one each"),
    ],
)
def test_an_affine_layer_with_other_than_one_bottom_and_top_is_refused(bottom: str, top: str, reason: str) -> None:
    refuses(reason, convolution(), batch_norm(bottom=bottom, top=top))


def test_a_layer_that_is_to_be_kept_stays_with_all_that_would_change_it() -> None:
    fused = stays(convolution(), batch_norm(), scale(), keep=["b"])
    assert {"b": "--keep names it", "s": "it reads the output of BatchNorm b, which cannot absorb it"} == fused.refused
    kept = fuse(text(convolution(), batch_norm(), scale()), keep=["c"])
    assert [convolution(), layer("b", "Scale", "c", "s", ONE_SCALE)] == kept.lines
    assert () == kept.violations()


# Phases


TRAINING = "include { phase: TRAIN }"


def test_a_layer_of_another_phase_that_reads_inside_a_folded_chain_is_dropped() -> None:
    inside, behind = layer("t", "ReLU", "c", "t", TRAINING), layer("u", "ReLU", "b", "u", TRAINING)
    fused = becomes([convolution(), inside, batch_norm(), behind], [convolution(top="b"), behind])
    assert ["t"] == [dropped.name for dropped in fused.result.model.dropped]


def test_a_twin_for_training_goes_with_its_batch_norm() -> None:
    twin = batch_norm("b", "c", "c", TRAINING)
    used = batch_norm("b", "c", "c", "include { phase: TEST }")
    fused = becomes([convolution(), twin, used, scale("s", "c", "c")], [convolution()])
    assert [4] == [dropped.line for dropped in fused.result.model.dropped]


@pytest.mark.parametrize("links", [["b"], ["b", "s"]], ids=" ".join)
def test_twins_in_place_behind_the_layers_that_fold_go_with_them(links: List[str]) -> None:
    """What they would do is in the convolution; done again, the net in training would be different."""
    used = [{"b": batch_norm, "s": scale}[name](name, "c", "c", "include { phase: TEST }") for name in links]
    twins = [line.replace("TEST", "TRAIN") for line in used]
    loss = layer("loss", "SoftmaxWithLoss", "c x", "loss", TRAINING)
    fused = becomes([convolution(), *used, *twins, loss], [convolution(), loss])
    assert links == [dropped.name for dropped in fused.result.model.dropped]
    assert {"c"} == set(fused.arrays)


def test_other_layers_of_another_phase_stay_byte_for_byte() -> None:
    data = layer("data", "Data", "", "x", TRAINING + " data_param { source: 'lmdb' }")
    loss = layer("loss", "SoftmaxWithLoss", "b x", "loss", TRAINING + "# per picture")
    before = [data, convolution(), batch_norm(), loss.replace("# per picture }", "} # per picture")]
    becomes(before, [before[0], convolution(top="b"), before[3]])


def test_in_place_the_value_behind_the_chain_is_not_inside_it() -> None:
    accuracy = layer("t", "ReLU", "c", "t", TRAINING)
    becomes([convolution(), batch_norm(top="c"), accuracy], [convolution(), accuracy])


def test_a_reader_of_another_phase_does_not_count() -> None:
    silence = layer("t", "Silence", "b", "", TRAINING)
    becomes([convolution(), batch_norm(), scale(), silence], [convolution(top="s")])


# Blobs in the prototxt


def embedded(arrays: Sequence[np.ndarray]) -> str:
    found = []
    for array in arrays:
        dims = " ".join(f"dim: {dim}" for dim in array.shape)
        found.append(f"blobs {{ shape {{ {dims} }} data: {array.ravel().tolist()} }}")
    return " ".join(found)


def test_blobs_in_the_prototxt_count_and_go_from_layers_that_change() -> None:
    blobs = numbers(text(convolution(), batch_norm()))
    before = text(convolution(rest=embedded(blobs["c"])), batch_norm())
    fused = fuse(before, {"b": blobs["b"]})
    assert [convolution(top="b")] == fused.lines
    assert () == fused.violations()
    assert fuse(text(convolution(), batch_norm()), blobs).arrays["c"][1].tolist() == fused.arrays["c"][1].tolist()


def test_the_owners_blobs_in_the_prototxt_are_those_of_all_that_share() -> None:
    named = 'param { name: "w" }'
    blobs = numbers(text(convolution(), batch_norm(), convolution("d", "x", "d")))
    first = convolution("c", "x", "c", named + " " + embedded(blobs["c"]))
    second = convolution("d", "x", "d", named + " " + embedded(blobs["d"]))
    before = text(first, batch_norm("b", "c", "b"), second, batch_norm("e", "d", "e"))
    fused = fuse(before, {"b": blobs["b"], "e": blobs["b"]})
    assert [convolution("c", "x", "b", named), convolution("d", "x", "e", named)] == fused.lines
    assert () == fused.violations()


def test_a_parameter_message_that_stands_twice_is_edited_where_the_value_is() -> None:
    """Protobuf merges the two; Caffe's own text parser refuses them, others do not."""
    one = 'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { bias_term: false %s } }'
    whole = fuse(text(one % "num_output: 3 kernel_size: 3", batch_norm(top="c")))
    split = one % "num_output: 3 } convolution_param { kernel_size: 3"
    fused = fuse(text(split, batch_norm(top="c")), weights=whole.before[1])
    assert [split.replace("bias_term: false", "bias_term: true")] == fused.lines


def test_names_that_are_no_utf8_bind_and_stay_as_they_are() -> None:
    prototxt = text(convolution("layer1", top="blob_1"), batch_norm("layer2", bottom="blob_1", top="blob_2"))
    strange = {
        b"layer1": b"\xb5\xda" * 3,
        b"blob_1": b"\xd2\xbb" * 3,
        b"layer2": b"\xb2\xe3" * 3,
        b"blob_2": b"\xc2\xf0" * 3,
    }

    def renamed(content: bytes) -> bytes:
        for plain, other in strange.items():
            content = content.replace(plain, other)
        return content

    plain = fuse(prototxt)
    fused = fuse(renamed(prototxt), weights=renamed(plain.before[1]))
    # What is written into the text is escaped; the weight file has the bytes.
    assert renamed(plain.prototxt) == fused.prototxt.replace(b"\\xc2\\xf0", b"\xc2\xf0")
    assert renamed(plain.weights) == fused.weights


def test_a_batch_norm_under_the_name_of_another_caffe_becomes_a_scale() -> None:
    relu = layer("r", "ReLU", "x", "r")
    whole = fuse(text(relu, batch_norm(bottom="r")))
    fused = fuse(text(relu, batch_norm(bottom="r").replace("BatchNorm", "MKLBatchNorm")), weights=whole.before[1])
    assert whole.lines == fused.lines
    assert "Scale" in fused.lines[-1]


def test_weights_with_a_field_of_another_caffe_are_not_folded() -> None:
    """Its meaning, a quantisation perhaps, would not fit the new weights."""
    net = schema.new("NetParameter")
    plain = text(convolution(), batch_norm(top="c"))
    net.ParseFromString(fuse(plain).before[1])
    net.layer[0].blobs[0].MergeFromString(b"\xaa\x06\x01x")  # field 101
    fused = fuse(plain, weights=net.SerializeToString())
    (converted,) = fused.result.report.converted
    assert "field 101 of blob 0 of Convolution c is not understood" == converted.reason
    assert records(fused.weights)["c"].SerializeToString() == net.layer[0].SerializeToString()
