"""Each dialect of BatchNorm: what its blobs mean, by hand; how it is recognised; and what is reported if it is not."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import pytest
from nets import caffemodel, convolution, fuse, layer, model, numbers, records, scale, spread, text

import caffe_fuse
from caffe_fuse.layers.batch_norm import DIALECTS
from caffe_fuse.net.bn_dialect import NAMES
from caffe_fuse.net.state import State
from caffe_fuse.passes.proof import prove

Affine = Tuple[np.ndarray, np.ndarray]

# Numbers of 6 channels, all different and exact in float32.
MEAN = np.array([1, -2, 3, -4, 5, -6], np.float32) / 8
VARIANCE = np.array([9, 7, 5, 3, 2, 1], np.float32) / 16
GAMMA = np.array([3, -1, 2, 5, -4, 6], np.float32) / 4
BETA = np.array([-5, 4, 3, -2, 1, 6], np.float32) / 2
ONE, ZERO, FACTOR = (np.array([value], np.float32) for value in (1, 0, 4))
EPS = float(np.float32(0.001))


def affine(mean: np.ndarray, deviation: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> Affine:
    """Computes the affine channel by channel, in float64."""
    rows = list(zip(*(np.asarray(each, np.float64).tolist() for each in (mean, deviation, gamma, beta))))
    return (
        np.array([g / d for _, d, g, _ in rows]),
        np.array([b - m * g / d for m, d, g, b in rows]),
    )


def tall(values: np.ndarray) -> np.ndarray:
    """Shapes the blobs as forks from before blobs of any rank do."""
    return values.reshape(1, -1, 1, 1)


def root(variance: np.ndarray, eps: float) -> np.ndarray:
    return np.sqrt(variance.astype(np.float64) + eps)


ONES, ZEROS = np.ones(6), np.zeros(6)
SLOPED = affine(MEAN, root(VARIANCE, EPS), GAMMA, BETA)
PLAIN = affine(MEAN, root(VARIANCE, EPS), ONES, ZEROS)
SINGLE_5, SINGLE_10 = float(np.float32(1e-5)), float(np.float32(1e-10))
SUMMED: List[np.ndarray] = [MEAN * 4, VARIANCE * 4, FACTOR]


class Case(NamedTuple):
    type: str
    settings: str
    blobs: List[np.ndarray]
    expected: Affine
    dialect: str = ""  # what has to be reported, "" if the files decide it


BN_EPS = "batch_norm_param { eps: 0.001 %s }"
CASES: Dict[str, Case] = {
    "bvlc": Case("BatchNorm", BN_EPS % "", SUMMED, PLAIN),
    "bvlc-factor-0": Case(
        "BatchNorm", BN_EPS % "", [MEAN, VARIANCE, ZERO], affine(ZEROS, root(ZEROS, EPS), ONES, ZEROS)
    ),
    "nvidia-5": Case(
        "BatchNorm",
        BN_EPS % "scale_bias: true",
        [MEAN, VARIANCE, FACTOR, GAMMA, BETA],
        SLOPED,
    ),
    "nvidia-5-fillers": Case(
        "BatchNorm",
        BN_EPS % "scale_filler { value: 1 } bias_filler { value: 0 }",
        [MEAN, VARIANCE, FACTOR, GAMMA, BETA],
        SLOPED,
    ),
    "nvidia-5-stored-whatever-the-text-says": Case(
        "BatchNorm",
        BN_EPS % "scale_bias: true use_global_stats: false",
        [MEAN, VARIANCE, FACTOR, GAMMA, BETA],
        SLOPED,
    ),
    "nvidia-5-small-eps": Case(
        "BatchNorm",
        "batch_norm_param { eps: 1e-8 scale_bias: true }",
        [MEAN, VARIANCE, ONE, GAMMA, BETA],
        affine(MEAN, root(VARIANCE, SINGLE_5), GAMMA, BETA),
    ),
    "nvidia-3": Case("BatchNorm", BN_EPS % "scale_bias: false", SUMMED, PLAIN),
    "nvidia-3-factor-0": Case("BatchNorm", BN_EPS % "", [MEAN, VARIANCE, ZERO], PLAIN, "nvidia"),
    "digits": Case("BatchNorm", BN_EPS % "", [GAMMA, BETA, MEAN, VARIANCE, FACTOR], SLOPED),
    "digits-4-axes": Case(
        "BatchNorm",
        BN_EPS % "scale_bias: true",
        [blob.reshape(1, -1, 1, 1) for blob in (GAMMA, BETA, MEAN, VARIANCE, ZERO)],
        SLOPED,
    ),
    "xilinx": Case(
        "BatchNorm",
        BN_EPS % "use_global_stats: false scale_filler { value: 1 } bias_filler { value: 0 }",
        [GAMMA, BETA, MEAN, VARIANCE, ZERO.reshape(1, 1, 1, 1)],
        SLOPED,
    ),
    "intel-5": Case("BatchNorm", BN_EPS % "use_weight_bias: true", [*SUMMED, GAMMA, BETA], SLOPED),
    "intel-4": Case(
        "BatchNorm", BN_EPS % "bias_term: false", [*SUMMED, GAMMA], affine(MEAN, root(VARIANCE, EPS), GAMMA, ZEROS)
    ),
    "intel-3": Case("BatchNorm", BN_EPS % "use_weight_bias: false", SUMMED, PLAIN),
    "intel-or-nvidia-where-both-are-the-same": Case(
        "BatchNorm", BN_EPS % "", [MEAN, VARIANCE, ONE, GAMMA, BETA], SLOPED
    ),
    "intel-by-name": Case("BatchNorm", BN_EPS % "", [*SUMMED, GAMMA, BETA], SLOPED, "intel"),
    "nvidia-by-name": Case(
        "BatchNorm",
        BN_EPS % "",
        [*SUMMED, GAMMA, BETA],
        affine(MEAN * 4, root(VARIANCE * 4, EPS), GAMMA, BETA),
        "nvidia",
    ),
    "opencv-by-name": Case(
        "BatchNorm",
        "batch_norm_param { eps: 1e-8 scale_bias: true }",
        [MEAN, VARIANCE, FACTOR, GAMMA, BETA],
        affine(MEAN, root(VARIANCE, float(np.float32(1e-8))), GAMMA, BETA),
        "opencv",
    ),
    "cambricon": Case("BatchNorm", BN_EPS % "use_alpha_beta: true", [*SUMMED, GAMMA, BETA], SLOPED),
    "synopsys": Case(
        "BatchNorm",
        BN_EPS % "add_eps_before_sqrt: false",
        SUMMED,
        affine(MEAN, np.sqrt(VARIANCE.astype(np.float64)) + EPS, ONES, ZEROS),
    ),
    "synopsys-eps-first": Case("BatchNorm", BN_EPS % "add_eps_before_sqrt: true", SUMMED, PLAIN),
    "happynear-no-mean": Case(
        "BatchNorm", BN_EPS % "disable_mean: true", SUMMED, affine(ZEROS, root(VARIANCE, EPS), ONES, ZEROS)
    ),
    "happynear-no-variance": Case(
        "BatchNorm", BN_EPS % "disable_variance: true", SUMMED, affine(MEAN, ONES, ONES, ZEROS)
    ),
    "mnn-4": Case("CuDNNBatchNorm", BN_EPS % "", [MEAN, VARIANCE, GAMMA, BETA], SLOPED),
    "mnn-2": Case("CuDNNBatchNorm", BN_EPS % "", [MEAN, VARIANCE], PLAIN),
    "cudnn-as-bvlc": Case("CuDNNBatchNorm", BN_EPS % "", SUMMED, PLAIN),
    "mkl-as-bvlc": Case("MKLBatchNorm", BN_EPS % "", SUMMED, PLAIN),
    "segnet": Case("BN", "bn_param { bn_mode: INFERENCE }", [tall(GAMMA), tall(BETA)], (GAMMA, BETA)),
    "pspnet": Case("BN", "bn_param { frozen: true eps: 0.001 }", [*map(tall, (GAMMA, BETA, MEAN, VARIANCE))], SLOPED),
    "pspnet-default-eps": Case(
        "BN",
        "bn_param { slope_filler { value: 1 } momentum: 0.9 }",
        [*map(tall, (GAMMA, BETA, MEAN, VARIANCE))],
        affine(MEAN, root(VARIANCE, SINGLE_5), GAMMA, BETA),
    ),
    "sensetime": Case("BN", "bn_param { var_eps: 0.001 }", [*map(tall, (GAMMA, BETA, MEAN, VARIANCE))], SLOPED),
    "sensetime-default-eps": Case(
        "BN",
        "bn_param { moving_average: true }",
        [*map(tall, (GAMMA, BETA, MEAN, VARIANCE / 2**20))],
        affine(MEAN, root(VARIANCE / 2**20, SINGLE_10), GAMMA, BETA),
    ),
    "happynear-inverse-by-name": Case(
        "BN",
        "bn_param { slope_filler { value: 1 } }",
        [GAMMA, BETA, MEAN, VARIANCE],
        affine(MEAN, 1 / VARIANCE.astype(np.float64), GAMMA, BETA),
        "happynear",
    ),
}


def net_of(case: Case, first: str = "c") -> bytes:
    lines = [convolution()] if first == "c" else []
    return text(*lines, layer("b", case.type, first, "b", case.settings), shape=(2, 4 if lines else 6, 5, 6))


def fused(case: Case, first: str = "c") -> Tuple[bytes, Dict[str, List[np.ndarray]], caffe_fuse.Result]:
    prototxt = net_of(case, first)
    before = {name: arrays for name, arrays in numbers(prototxt).items() if name == "c"}
    made = fuse(prototxt, {**before, "b": case.blobs}, bn_dialect=case.dialect or None)
    assert {} == made.refused
    return prototxt, {"before": before.get("c", []), **made.arrays}, made.result


@pytest.mark.parametrize("name", CASES)
def test_a_dialect_folds_as_its_caffe_computes(name: str) -> None:
    factor, shift = CASES[name].expected
    _, arrays, result = fused(CASES[name])
    weights, bias = arrays["before"]
    expected_weights = (weights.astype(np.float64) * factor.reshape(-1, 1, 1, 1)).astype(np.float32)
    np.testing.assert_array_max_ulp(expected_weights, arrays["c"][0], 1)
    expected_bias = (bias.astype(np.float64) * factor + shift).astype(np.float32)
    np.testing.assert_allclose(arrays["c"][1], expected_bias, rtol=3e-7, atol=3e-7)
    (rewrite,) = result.report.changes.folded
    prove(rewrite, rewrite.after.blobs)


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_fold_becomes_a_plain_scale(name: str) -> None:
    factor, shift = CASES[name].expected
    _, arrays, result = fused(CASES[name], "x")
    np.testing.assert_allclose(arrays["b"], [factor, shift], rtol=2e-7, atol=1e-7)
    (rewrite,) = result.report.changes.converted
    assert ("Scale", True) == (rewrite.after.type, rewrite.after.parameter.scale_param.bias_term)
    assert not rewrite.after.parameter.HasField("batch_norm_param")
    prove(rewrite, rewrite.after.blobs)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.dialect])
def test_the_judge_finds_the_same_net(name: str) -> None:
    if name == "intel-or-nvidia-where-both-are-the-same" or CASES[name].type == "MKLBatchNorm":
        pytest.skip("the judge does not guess")
    case = CASES[name]
    for first in ("c", "x"):
        prototxt = net_of(case, first)
        blobs = {name: arrays for name, arrays in numbers(prototxt).items() if name == "c"}
        made = fuse(prototxt, {**blobs, "b": case.blobs})
        compared = made.compared((2, 4 if first == "c" else 6, 5, 6))
        assert ((), ()) == (compared.violations, compared.unknown)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_is_the_affine_in_the_type_of_the_bottom(name: str, dtype: type) -> None:
    case = CASES[name]
    (norm,) = model_of(case).net.layers
    assert norm.layer_type is not None
    assert norm.layer_type.forward is not None
    bottom: np.ndarray = spread((2, 6, 3), 5).astype(dtype)
    (top,) = norm.layer_type.forward(norm.parameter, case.blobs, [bottom])
    factor, shift = (values.reshape(-1, 1) for values in case.expected)
    assert dtype == top.dtype
    tolerance = 1e-12 if dtype is np.float64 else 3e-6
    np.testing.assert_allclose(top, bottom * factor + shift, rtol=tolerance, atol=tolerance * np.abs(factor).max() * 8)


def model_of(case: Case) -> caffe_fuse.Model:
    prototxt = net_of(case, "x")
    return model(prototxt, caffemodel(prototxt, {"b": case.blobs}), bn_dialect=case.dialect or None)


def test_every_dialect_has_a_case() -> None:
    assert set(NAMES) == {name.split("-")[0] for name in CASES} & set(NAMES)
    assert len(DIALECTS) == len({(dialect.name, dialect.layer) for dialect in DIALECTS})


# Where two readings remain

OPEN: Dict[str, Tuple[Case, str]] = {
    "five blobs, and the third is no 1": (
        Case("BatchNorm", "", [*SUMMED, GAMMA, BETA], PLAIN),
        "blobs of 6, 6, 1, 6, 6 elements can be read in 2 ways: nvidia (NVIDIA 0.16 and later, TI), intel (Intel)",
    ),
    "five blobs, and an eps that NVIDIA's Caffe raises": (
        Case("BatchNorm", "batch_norm_param { eps: 1e-7 }", [MEAN, VARIANCE, ONE, GAMMA, BETA], PLAIN),
        "blobs of 6, 6, 1, 6, 6 elements with eps can be read in 2 ways: nvidia (NVIDIA 0.16 and later, TI), "
        "intel (Intel)",
    ),
    "four blobs of BN, and nothing else": (
        Case("BN", "", [GAMMA, BETA, MEAN, VARIANCE], PLAIN),
        "blobs of 6, 6, 6, 6 elements can be read in 3 ways: pspnet (PSPNet, yjxiong, Sophgo), sensetime (SenseTime), "
        "happynear (happynear)",
    ),
    "four blobs that no Caffe has": (
        Case("BatchNorm", "", [MEAN, VARIANCE, GAMMA, BETA], PLAIN),
        "no known dialect of BatchNorm fits it and the others of the net: blobs of 6, 6, 6, 6 elements",
    ),
    "settings of two Caffes": (
        Case("BatchNorm", "batch_norm_param { scale_bias: true use_alpha_beta: true }", SUMMED, PLAIN),
        "no known dialect of BatchNorm fits it and the others of the net: blobs of 6, 6, 1 elements with "
        "scale_bias, use_alpha_beta",
    ),
}


@pytest.mark.parametrize("name", OPEN)
def test_a_dialect_that_is_not_told_is_refused_and_the_flag_is_named(name: str) -> None:
    case, reason = OPEN[name]
    prototxt = net_of(case)
    blobs = {"c": numbers(prototxt)["c"], "b": case.blobs}
    made = fuse(prototxt, blobs)
    assert {"b": reason} == made.refused
    assert ("can be read in" in reason) == any("--bn-dialect NAME" in step for step in made.result.report.next)
    assert (prototxt, caffemodel(prototxt, blobs)) == (made.prototxt, made.weights)


def two_layers(first: Case, second: Case, bn_dialect: Optional[str] = None) -> Dict[str, str]:
    lines = [layer("a", first.type, "x", "a", first.settings), layer("b", second.type, "a", "b", second.settings)]
    blobs = {"a": first.blobs, "b": second.blobs}
    return fuse(text(*lines, shape=(2, 6, 5, 6)), blobs, bn_dialect=bn_dialect).refused


def test_one_layer_settles_the_dialect_of_all() -> None:
    """The second could be Intel's or NVIDIA's, the first only NVIDIA's."""
    undecided = OPEN["five blobs, and the third is no 1"][0]
    assert {} == two_layers(CASES["nvidia-5"], undecided)
    assert {} == two_layers(CASES["intel-5"], undecided)
    assert {"a", "b"} == set(two_layers(undecided, undecided))
    assert {} == two_layers(undecided, undecided, bn_dialect="intel")


def test_layers_of_two_dialects_in_one_net_are_refused() -> None:
    refused = two_layers(CASES["intel-5"], CASES["digits"])
    assert [True, True] == ["no known dialect of BatchNorm fits" in reason for reason in refused.values()]


def test_channels_of_one_number_leave_the_order_open() -> None:
    case = Case("BatchNorm", "batch_norm_param { scale_bias: true }", [FACTOR, ONE, FACTOR, ONE, ONE], PLAIN)
    prototxt = text(layer("b", "BatchNorm", "x", "b", case.settings), shape=(2, 1, 5, 6))
    assert "can be read in 2 ways: nvidia" in fuse(prototxt, {"b": case.blobs}).refused["b"]


@pytest.mark.parametrize(
    ("case", "dialect", "expected"),
    [
        ("bvlc", "darknet", "there is no BatchNorm dialect darknet; choose from bvlc, nvidia, digits"),
        (
            "bvlc",
            "digits",
            "net.prototxt:4:1: layer b (BatchNorm) cannot be of the BatchNorm dialect digits: blobs of 6",
        ),
        ("bvlc", "segnet", "no layer of the net can be of the BatchNorm dialect segnet: the net has BatchNorm layers"),
        ("pspnet", "intel", "no layer of the net can be of the BatchNorm dialect intel: the net has BN layers"),
    ],
)
def test_a_dialect_that_does_not_fit_is_an_error(case: str, dialect: str, expected: str) -> None:
    with pytest.raises(caffe_fuse.InputError) as caught:
        fused(CASES[case]._replace(dialect=dialect))
    assert expected == str(caught.value)[: len(expected)]


# What is refused because of the values or the settings

LEARNS = "depends on the batch"
REFUSED = {
    "batch statistics of Intel": (CASES["intel-5"], "use_global_stats: false", LEARNS),
    "batch statistics of Cambricon": (CASES["cambricon"], "use_global_stats: false", LEARNS),
    "batch statistics of SenseTime": (CASES["sensetime"], "moving_average: false", LEARNS),
    "SegNet in the mode that learns": (
        Case("BN", "bn_param { bn_mode: LEARN }", [GAMMA, BETA], PLAIN),
        "",
        "bn_mode is LEARN",
    ),
    "SegNet without a mode": (Case("BN", "", [GAMMA, BETA], PLAIN), "", "bn_mode is LEARN, the default"),
    "a variance below 0": (
        CASES["digits"]._replace(blobs=[GAMMA, BETA, MEAN, -VARIANCE, ONE]),
        "",
        "its variance + eps is -0.5615 in channel 0",
    ),
    "a variance of 0 without eps": (
        Case("BN", "bn_param { frozen: true eps: 0 }", [GAMMA, BETA, MEAN, VARIANCE * 0], PLAIN),
        "",
        "its variance + eps is 0 in channel 0",
    ),
    "a scale that is no number": (
        CASES["nvidia-5"]._replace(blobs=[MEAN, VARIANCE, ONE, GAMMA * np.float32("nan"), BETA]),
        "",
        "its scale is nan in channel 0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_affine_is_refused(name: str) -> None:
    case, setting, reason = REFUSED[name]
    prototxt = net_of(case._replace(settings=case.settings.replace("}", setting + " }")))
    assert reason in fuse(prototxt, {"c": numbers(prototxt)["c"], "b": case.blobs}).refused["b"]


@pytest.mark.parametrize("name", ["nvidia-5", "digits", "pspnet-default-eps", "sensetime", "intel-5"])
def test_in_training_the_batch_decides(name: str) -> None:
    prototxt = net_of(CASES[name])
    made = fuse(prototxt, {"c": numbers(prototxt)["c"], "b": CASES[name].blobs}, state=State("TRAIN"))
    assert LEARNS in made.refused["b"]


# What is said


def warnings(case: Case) -> List[str]:
    return [warning.split(": ", 1)[1] for warning in model_of(case).warnings]


def test_a_dialect_other_than_bvlcs_is_named() -> None:
    assert [] == warnings(CASES["bvlc"])
    assert [
        "1 BatchNorm layer read in the dialect nvidia (NVIDIA 0.16 and later, TI): blobs mean variance correction "
        "scale shift"
    ] == warnings(CASES["nvidia-5"])


def test_batch_statistics_that_the_dialect_does_not_use_are_a_warning() -> None:
    for name in ("nvidia-5-stored-whatever-the-text-says", "xilinx"):
        assert (
            "use_global_stats is false in layer b; in TEST this dialect uses the stored statistics nevertheless"
            == warnings(CASES[name])[1]
        )


def test_a_factor_of_zero_with_statistics_is_a_warning_that_names_the_other_reading() -> None:
    assert [
        "the moving average factor of layer b is 0, so Caffe takes the statistics, which are not 0, for 0; if they "
        "are statistics of NVIDIA's Caffe, use --bn-dialect nvidia"
    ] == warnings(CASES["bvlc-factor-0"])
    blank = warnings(CASES["bvlc"]._replace(blobs=[MEAN * 0, VARIANCE * 0, ZERO]))
    assert ["is 0 and the statistics are not" in each for each in blank] == [False]
    assert ["dialect nvidia" in each for each in warnings(CASES["nvidia-3-factor-0"])] == [True]


def test_a_fold_in_another_dialect_takes_back_what_was_said() -> None:
    case = CASES["bvlc-factor-0"]
    said = fuse(net_of(case, "x"), {"b": case.blobs}, bn_dialect="nvidia").result.report.warnings
    assert [True] == ["dialect nvidia" in warning for warning in said]


# An activation inside

RELU = CASES["intel-5"]._replace(settings=BN_EPS % "use_weight_bias: true relu: true")


def test_a_relu_inside_a_folded_batch_norm_becomes_a_layer() -> None:
    prototxt = text(convolution(), layer("b", "BatchNorm", "c", "b", RELU.settings), scale())
    blobs = {**numbers(prototxt), "b": RELU.blobs}
    made = fuse(prototxt, blobs)
    assert [convolution(top="b"), layer("b_relu", "ReLU", "b", "b"), scale()] == made.lines
    assert ["c", "b_relu", "s"] == list(records(made.weights))
    relu = records(made.weights)["b_relu"]
    assert ("ReLU", ["b"], ["b"], 0) == (relu.type, list(relu.bottom), list(relu.top), len(relu.blobs))
    assert {"s"} == set(made.refused)
    compared = made.compared()
    assert ((), ()) == (compared.violations, compared.unknown)
    assert "b ended in a ReLU, which is now layer b_relu" in made.result.report.warnings[-1]


def test_a_relu_inside_a_converted_batch_norm_follows_the_scale() -> None:
    prototxt = text(layer("b", "BatchNorm", "x", "b", RELU.settings), layer("r", "ReLU", "b", "r"), shape=(2, 6, 5, 6))
    made = fuse(prototxt, {"b": RELU.blobs})
    assert [
        layer("b", "Scale", "x", "b", "scale_param { bias_term: true }"),
        layer("b_relu", "ReLU", "b", "b"),
        layer("r", "ReLU", "b", "r"),
    ] == made.lines
    assert ["b", "b_relu", "r"] == list(records(made.weights))
    compared = made.compared((2, 6, 5, 6))
    assert ((), ()) == (compared.violations, compared.unknown)


def test_a_relu_inside_a_batch_norm_in_place_stays_in_place() -> None:
    prototxt = text(convolution(), layer("b", "BatchNorm", "c", "c", RELU.settings))
    made = fuse(prototxt, {**numbers(prototxt), "b": RELU.blobs})
    assert [convolution(), layer("b_relu", "ReLU", "c", "c")] == made.lines
    assert () == made.violations()


def test_the_new_layer_has_a_name_of_its_own_and_the_rules_of_the_old() -> None:
    rules = 'include { phase: TEST not_stage: "s" }'
    prototxt = text(
        convolution(),
        layer("b", "BatchNorm", "c", "b", f"{rules} {RELU.settings}"),
        layer("b_relu", "Sigmoid", "b", "y"),
    )
    made = fuse(prototxt, {**numbers(prototxt), "b": RELU.blobs})
    assert layer("b_relu_", "ReLU", "b", "b", 'include { phase: TEST not_stage: "s" }') == made.lines[1]
    assert () == made.violations()


@pytest.mark.parametrize("keep", [["b"], []])
def test_a_batch_norm_that_stays_keeps_its_relu(keep: List[str]) -> None:
    settings = RELU.settings if keep else RELU.settings.replace("relu", "use_global_stats: false relu")
    prototxt = text(convolution(), layer("b", "BatchNorm", "c", "b", settings))
    blobs = {**numbers(prototxt), "b": RELU.blobs}
    made = fuse(prototxt, blobs, keep=keep)
    assert (prototxt, caffemodel(prototxt, blobs)) == (made.prototxt, made.weights)


def test_a_batch_norm_between_two_writers_of_its_blob_keeps_its_relu() -> None:
    """It cannot become a Scale, so the ReLU goes back inside."""
    blobs: List[np.ndarray] = [MEAN, VARIANCE * np.float32(1e-38), ONE, GAMMA * np.float32(1e30), BETA]
    prototxt = text(
        layer("b", "BatchNorm", "x", "b", "batch_norm_param { eps: 0 relu: true use_weight_bias: true }"),
        shape=(2, 6, 5, 6),
    )
    made = fuse(prototxt, {"b": blobs})
    assert {"b": "its scale or shift is not finite in float32"} == made.refused
    assert prototxt == made.prototxt
