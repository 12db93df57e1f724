"""Range repair: what half precision would lose is preserved, and no output changes by a bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import nets
import numpy as np
import pytest
import rescaled
import truth
from hypothesis import given
from hypothesis import strategies as st
from nets import layer, text
from strategies_nets import INPUT
from strategies_nets import nets as random_nets

import caffe_fuse
from caffe_fuse.errors import InputError
from caffe_fuse.folding.result import Result
from caffe_fuse.half.channels import by_channel, decibels, layout_of
from caffe_fuse.half.lost_channels import losses
from caffe_fuse.half.rounding import GENERIC
from caffe_fuse.net.graph import Net, Value
from caffe_fuse.rescale.rescale import rescale

REPAIRED = ("half-weights-overflow", "half-weights-underflow", "half-weights-one-channel", "half-weights-residual")


def fused(name: str, **options: Any) -> Result:
    net = truth.load(name)
    return caffe_fuse.fuse(caffe_fuse.load(net.prototxt_path, net.weights_path), **options)


def saved(result: Result, prefix: Path) -> Tuple[bytes, bytes]:
    weights, prototxt = result.save(str(prefix))
    return Path(prototxt).read_bytes(), Path(weights).read_bytes()


def ratios(net: Net) -> Dict[str, np.ndarray]:
    """Returns the signal to noise of each channel of each layer in dB, its bias included."""
    found = {}
    for each in net.layers:
        layouts = [layout_of(each, number) for number in range(len(each.blobs))]
        stats = [by_channel(blob, layout) for blob, layout in zip(each.blobs, layouts) if layout is not None]
        if stats:
            signal = np.sum([one.signal for one in stats], axis=0)
            found[each.name] = decibels(signal, np.sum([one.noise for one in stats], axis=0))
    return found


@pytest.mark.parametrize("name", REPAIRED)
def test_a_net_is_repaired_and_its_outputs_are_the_same_to_the_last_bit(name: str, tmp_path: Path) -> None:
    net = truth.load(name)
    result, plain = fused(name), fused(name, rescale="never")
    assert 0 == result.report.status
    before = rescaled.values(rescaled.files(plain, plain.model.net), net.inputs)
    after = rescaled.values(saved(result, tmp_path / "out"), net.inputs)
    assert result.report.rescaled
    assert [] == rescaled.differences(before, after, dict(result.report.rescaled))
    assert () == result.report.unrepaired
    assert min(ratio.min() for ratio in ratios(result.model.net).values()) > 60
    assert min(ratio.min() for ratio in ratios(plain.model.net).values()) < 40


@pytest.mark.parametrize("name", REPAIRED)
def test_outputs_are_still_those_of_caffe(name: str, tmp_path: Path) -> None:
    net = truth.load(name)
    result = fused(name)
    after = saved(result, tmp_path / "out")
    compared = truth.compare(net.prototxt, net.weights, *after, net.inputs)
    assert [] == [each for each in compared.violations if each.blob not in result.report.rescaled]


def test_an_overflow_with_nothing_behind_it_is_named_and_the_rest_repaired() -> None:
    report = fused("half-weights-last-layer").report
    assert 1 == report.status
    assert [("conv2", 0), ("conv2", 1), ("conv2", "conv2")] == [(each.layer, each.blob) for each in report.unrepaired]
    assert (
        "Convolution conv2 blob 0 overflows in channels 0, 1, 2, 3, and cannot be repaired: conv2 is an output of "
        "the net; keep layer conv2 in float32"
    ) == str(report.changes.unrepaired[0])
    assert ["conv2"] == sorted({row.layer for row in report.after.rows if not row.stats.safe})


@pytest.mark.parametrize("name", ["half-variance-overflow", "half-variance-tiny", "net-resnet-bottleneck", "net-unet"])
def test_a_net_that_needs_no_repair_gets_none(name: str) -> None:
    result, plain = fused(name), fused(name, rescale="never")
    assert {} == result.report.rescaled
    assert nets.written(plain.model) == nets.written(result.model)


def test_without_a_verdict_nothing_is_needed() -> None:
    assert {} == fused("half-weights-overflow", half_policy="off").report.rescaled
    assert {} == fused("half-weights-overflow", rescale="never").report.rescaled
    assert fused("half-weights-overflow", half_policy="off", rescale="always").report.rescaled


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"keep_blobs": ["conv1"]}, "--keep-blob names conv1"), ({"keep": ["conv1"]}, "--keep names Convolution conv1")],
)
def test_what_is_to_stay_stays(options: Dict[str, List[str]], reason: str) -> None:
    net = fused("half-weights-overflow", rescale="never").model.net
    found = rescale(net, kept=set(options.get("keep", ())), keep_blobs=set(options.get("keep_blobs", ())))
    assert found is not None
    assert {} == found.blobs
    assert [reason] == list({each.reason for each in found.left if each.layer.name == "conv1"})


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        InputError, match="keep_blobs names nothing, which is not a blob of the net; caffe-fuse show lists them"
    ):
        fused("half-weights-overflow", keep_blobs=["nothing"])
    with pytest.raises(InputError, match="mode of rescale perhaps is not known; choose from needed, always, never"):
        fused("half-weights-overflow", rescale="perhaps")


def test_small_weights_are_repaired_for_a_device_that_takes_them_for_0() -> None:
    """0.6 to 1.2 times 2^-15 is subnormal: precise enough, but 0 if subnormal fp16 values are flushed."""
    prototxt = text(
        layer("c", "Convolution", "x", "c", "convolution_param { num_output: 2 kernel_size: 3 bias_term: false }"),
        layer("d", "Convolution", "c", "d", "convolution_param { num_output: 2 kernel_size: 1 bias_term: false }"),
    )
    blobs = nets.numbers(prototxt)
    blobs["c"][0] = np.linspace(0.6, 1.2, blobs["c"][0].size, dtype=np.float32).reshape(blobs["c"][0].shape) / 2**15
    model = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    assert {} == caffe_fuse.fuse(model, half_policy="ieee").report.rescaled
    for policy in ("flush", "ncnn"):
        report = caffe_fuse.fuse(model, half_policy=policy).report
        assert min(report.rescaled["c"]) > 0
        assert () == report.after_channels.worst
        assert 0 == sum(row.stats.subnormal + row.stats.underflow for row in report.after.rows)


def test_ranges_of_activations_count_as_well() -> None:
    prototxt = text(
        layer("c", "Convolution", "x", "c", "convolution_param { num_output: 2 kernel_size: 1 }"),
        layer("d", "Convolution", "c", "d", "convolution_param { num_output: 2 kernel_size: 1 }"),
    )
    net = nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt))).net
    largest = {Value("c", 0): np.array([2.0**20, 2.0])}
    for needed in (True, False):
        found = rescale(net, needed=needed, largest=largest)
        assert found is not None
        assert (-5, 0) == found.blobs["c"]
    assert rescale(net, largest={Value("c", 0): np.array([65519.0, 2.0])}) is None
    plain = rescale(net, needed=False)
    assert plain is None or plain.blobs.get("c", (0, 0))[0] > -5


def spoiled(prototxt: bytes, seed: int) -> Tuple[rescaled.Files, rescaled.Files, Dict[str, Tuple[int, ...]]]:
    """Returns a net that half precision can hold, and the same with powers of two that it cannot."""
    return rescaled.spread(prototxt, nets.numbers(prototxt, seed), seed, reach=24)


@given(random_nets(), st.integers(0, 1000), st.sampled_from(["ieee", "ieee", "flush", "truncate"]))
def test_what_powers_of_two_have_spoiled_they_repair(prototxt: bytes, seed: int, policy: Any) -> None:
    before, after, _ = spoiled(prototxt, seed)
    clean = nets.model(*before).net
    if losses(clean.layers, policy=GENERIC[policy]):
        return
    result = caffe_fuse.fuse(nets.model(*after), half_policy=policy, folds="direct")  # as `before` was folded
    assert () == result.report.unrepaired
    assert 0 == result.report.status
    assert [] == losses(result.model.net.layers, policy=GENERIC[policy])
    inputs = {"x": nets.spread(INPUT, 99)}
    found = rescaled.values(rescaled.files(result, result.model.net), inputs)
    assert [] == rescaled.differences(rescaled.values(after, inputs), found, dict(result.report.rescaled))


@given(random_nets(), st.integers(0, 1000), st.sampled_from(["needed", "always"]))
def test_no_repair_changes_an_output(prototxt: bytes, seed: int, mode: Any) -> None:
    """Each row of the weights is out of range in its own way: most cannot be repaired."""
    random = np.random.RandomState(seed)
    blobs = {
        name: [np.ldexp(array, random.randint(-20, 21, array.shape[:1] + (1,) * (array.ndim - 1))) for array in arrays]
        for name, arrays in nets.numbers(prototxt, seed).items()
    }
    blobs = {name: [array.astype(np.float32) for array in arrays] for name, arrays in blobs.items()}
    content = nets.caffemodel(prototxt, blobs)
    plain = caffe_fuse.fuse(nets.model(prototxt, content), rescale="never")
    result = caffe_fuse.fuse(nets.model(prototxt, content), rescale=mode)
    inputs = {"x": nets.spread(INPUT, 99)}
    before = rescaled.values(rescaled.files(plain, plain.model.net), inputs)
    after = rescaled.values(rescaled.files(result, result.model.net), inputs)
    assert [] == rescaled.differences(before, after, dict(result.report.rescaled))


HOT = text(
    layer("c", "Convolution", "x", "c", "convolution_param { num_output: 6 kernel_size: 3 }"),
    layer("r", "ReLU", "c", "c"),
    layer("d", "Convolution", "c", "d", "convolution_param { num_output: 3 kernel_size: 1 }"),
    shape=INPUT,
)


def hot(last: float = 2.0**-12) -> caffe_fuse.Model:
    """Returns a net of normal fp16 weights whose blob c overflows on pixels of 0 to 255; `last` scales its consumer."""
    blobs = nets.numbers(HOT)
    blobs["c"][0] *= np.float32(64)
    blobs["d"][0] *= np.float32(last)
    return nets.model(HOT, nets.caffemodel(HOT, blobs))


def pixels() -> np.ndarray:
    return nets.spread(INPUT, 5, 0, 255)


def test_an_overflow_of_activations_that_was_seen_is_repaired() -> None:
    model = hot()
    seen = caffe_fuse.calibrate(model, [{"x": pixels()}])
    assert 1 == caffe_fuse.fuse(model, ranges=seen, rescale="never").report.status
    assert {} == caffe_fuse.fuse(model).report.rescaled
    result = caffe_fuse.fuse(model, ranges=seen)
    assert 0 == result.report.status
    assert ["c"] == list(result.report.rescaled)
    exponents = np.array(result.report.rescaled["c"])
    rows = [row for row in result.report.activations.after if row.blob == "c"]
    assert 2 == len(rows)
    for row, before in zip(rows, [row for row in result.report.activations.before if row.blob == "c"]):
        assert row.seen
        assert np.array_equal(np.ldexp(before.range.highs, exponents), row.range.highs)
        assert not row.overflow.size
    assert (seen.values["c", "c"].range.magnitudes >= 65520).tolist() == (exponents < 0).tolist()
    halves = caffe_fuse.run(result.model, {"x": pixels()}, precision="half")["d"]
    exact = caffe_fuse.run(model, {"x": pixels()}, precision="float64")["d"]
    assert np.abs(halves - exact).max() < 2e-3 * np.abs(exact).max()
    singles = caffe_fuse.run(model, {"x": pixels()})["d"]
    assert np.array_equal(singles, caffe_fuse.run(result.model, {"x": pixels()})["d"])
    assert (
        caffe_fuse.verify(model, result.model, {"x": pixels()}, rescaled=result.report.rescaled).first_difference
        is None
    )


def test_an_overflow_of_activations_that_nothing_can_help_is_named() -> None:
    model = hot(last=2.0**12)
    seen = caffe_fuse.calibrate(model, [{"x": pixels()}])
    report = caffe_fuse.fuse(model, ranges=seen).report
    assert 1 == report.status
    assert ["d"] == [each.blob for each in report.unrepaired]
    assert (
        "Convolution d top d may overflow in channels 0, 1, 2, and cannot be repaired: d is an output of the net; keep "
        "layer d in float32"
    ) == str(report.changes.unrepaired[0])
    assert not any(row.overflow.size for row in report.activations.after if row.blob == "c")


def test_an_overflow_that_is_only_predicted_is_repaired_as_well() -> None:
    """half-weights-one-channel without its large weight: only gamma and beta show the overflow."""
    prototxt = text(
        nets.convolution(),
        nets.batch_norm(),
        nets.scale(),
        layer("d", "Convolution", "s", "d", "convolution_param { num_output: 3 kernel_size: 1 }"),
    )
    blobs = nets.numbers(prototxt)
    blobs["s"][1][2] = 60000
    model = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    blobs["s"][0][2] = 3000
    large = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    assert {} == caffe_fuse.fuse(model).report.rescaled
    report = caffe_fuse.fuse(large).report
    assert [0, 0, -1, 0, 0, 0] == list(report.rescaled["s"])
    assert [] == [row.blob for row in report.activations.after if row.overflow.size]
    assert {} == caffe_fuse.fuse(large, half_policy="off").report.rescaled


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_number_that_no_precision_holds_is_not_what_half_precision_loses(wrong: float) -> None:
    prototxt = text(layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 3 }"), shape=(1, 4))
    blobs = nets.numbers(prototxt)
    blobs["i"][1][2] = wrong
    report = nets.fuse(prototxt, blobs, half_policy="ieee").result.report
    assert (1, ()) == (report.status, report.unrepaired)
    blobs["i"][1][1] = 1e5
    (lost,) = nets.fuse(prototxt, blobs, half_policy="ieee").result.report.unrepaired
    assert (1, (1, 2)) == (lost.blob, lost.channels)
