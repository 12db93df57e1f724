"""What is reported of channels: the right ones, in the right state, with the fold that caused it."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple, Union

import nets
import numpy as np
import pytest
import truth
from nets import batch_norm, convolution, layer, scale, text

import caffe_fuse
from caffe_fuse.folding import diagnosis
from caffe_fuse.folding.check import check
from caffe_fuse.folding.diagnosis import Channel, Diagnosis
from caffe_fuse.folding.result import Result
from caffe_fuse.report.terminal import channel_lines, fold_report

HALF_NETS = truth.names("half-*")
CLASSES = ("overflow", "clipped", "subnormal", "underflow", "zeros", "nan", "inf")
POLICIES = ("ieee", "flush", "saturate", "ncnn")


def fused(name: str, **options: Any) -> Result:
    net = truth.load(name)
    return caffe_fuse.fuse(caffe_fuse.load(net.prototxt_path, net.weights_path), **options)


def told(found: Diagnosis) -> Dict[Tuple[str, int, int], Channel]:
    return {(blob.row.layer, blob.row.blob, each.channel): each for blob in found.rows for each in blob.channels}


def made(change: Mapping[Tuple[str, int, int], Union[float, np.ndarray]]) -> Result:
    """Returns a folded convolution before another one, with the values of some (layer, blob, channel) set."""
    prototxt = text(
        convolution("c", "x", "c"),
        batch_norm("b", "c", "b"),
        scale("s", "b", "s"),
        layer("d", "Convolution", "s", "d", "convolution_param { num_output: 3 kernel_size: 1 }"),
    )
    blobs = nets.numbers(prototxt)
    for (name, blob, channel), value in change.items():
        blobs[name][blob][channel] = value
    return caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, blobs)), rescale="never")


# --- the recorded nets: each class of values at its layer, channel and element ---


def rows_of(weights: np.ndarray) -> np.ndarray:
    """Returns a blob of a Convolution, or a vector, as one row for each output channel."""
    return weights.astype(np.float64).reshape(weights.shape[0], -1)


def halves(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(values.astype(np.float16).astype(np.float64))


@pytest.mark.parametrize("name", HALF_NETS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_half_makes_of_a_recorded_net_is_found_where_it_is(name: str, moment: str) -> None:
    result = fused(name, rescale="never")
    net = result.facts.original if moment == "before" else result.model.net
    found = getattr(result.report, f"{moment}_channels").rows
    blobs = [(layer.name, number, blob.array()) for layer in net.layers for number, blob in enumerate(layer.blobs)]
    assert [(layer, number) for layer, number, _ in blobs] == [(each.row.layer, each.row.blob) for each in found]
    for each, (_, _, values) in zip(found, blobs):
        flat, half = values.reshape(-1).astype(np.float64), halves(values.reshape(-1))
        stats = each.row.stats
        assert np.isinf(half).sum() == stats.overflow
        assert ((half == 0) & (flat != 0)).sum() == stats.underflow
        assert ((half != 0) & (np.abs(half) < 2.0**-14)).sum() == stats.subnormal
        if stats.overflow:
            assert stats.worst is not None
            worst = int(np.abs(flat).argmax())
            assert worst == stats.worst.index
            assert np.unravel_index(worst, values.shape)[0] == each.row.channel
        rows = rows_of(values)
        overflowing = np.flatnonzero(np.isinf(halves(rows)).any(axis=1)).tolist()
        assert overflowing == [channel.channel for channel in each.channels if channel.state == "overflow"]
        for channel in each.channels:
            own, rounded = rows[channel.channel], halves(rows[channel.channel])
            assert np.isinf(rounded).sum() == channel.overflow
            assert ((rounded == 0) & (own != 0)).sum() == channel.underflow
            assert ((rounded != 0) & (np.abs(rounded) < 2.0**-14)).sum() == channel.subnormal
            assert np.abs(own).max() == channel.max_abs


EXPECTED = {
    "half-variance-overflow": ("before", "bn1", 1, "overflow", list(range(6))),
    "half-variance-tiny": ("before", "bn1", 1, "lost", list(range(6))),
    "half-weights-overflow": ("after", "conv1", 0, "overflow", None),
    "half-weights-underflow": ("after", "conv1", 0, "lost", list(range(6))),
    "half-weights-one-channel": ("after", "conv1", 0, "overflow", [1]),
    "half-weights-last-layer": ("after", "conv2", 0, "overflow", list(range(4))),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_net_has_what_it_is_named_for(name: str) -> None:
    moment, layer, blob, state, channels = EXPECTED[name]
    found = told(getattr(fused(name, rescale="never").report, f"{moment}_channels"))
    places = [key[2] for key, each in found.items() if key[:2] == (layer, blob) and each.state == state]
    assert places == channels if channels is not None else places


def test_after_repair_no_channel_is_overflowing_or_lost() -> None:
    for name in (
        "half-weights-overflow",
        "half-weights-underflow",
        "half-weights-one-channel",
        "half-weights-residual",
    ):
        report = fused(name).report
        assert {"overflow", "lost"} & {each.state for each in told(report.after_channels).values()} == set()
        assert () == report.after_channels.worst


# --- states ---


def test_a_healthy_net_has_nothing_to_tell() -> None:
    assert {} == told(made({}).report.after_channels)


def test_a_channel_of_zeros_is_dead() -> None:
    found = told(made({("s", 0, 2): 0, ("s", 1, 2): 0}).report.after_channels)
    assert {("c", 0, 2): "dead"} == {key: each.state for key, each in found.items()}
    assert (0.0, np.inf) == (found["c", 0, 2].max_abs, found["c", 0, 2].snr)


def test_a_channel_that_only_has_a_bias_is_not_dead() -> None:
    assert {} == told(made({("s", 0, 2): 0, ("s", 1, 2): 1}).report.after_channels)


def test_a_channel_too_small_to_matter_is_dead_and_one_that_is_made_large_again_is_lost() -> None:
    small = {("s", 0, 2): 1e-7, ("s", 1, 2): 1e-7, ("b", 0, 2): 0}
    dead = told(made(small).report.after_channels)
    assert "dead" == dead["c", 0, 2].state
    weights = np.full((6, 1, 1), 1e-3, np.float32)
    weights[2] = 1e4
    lost = told(made({**small, **{("d", 0, row): weights for row in range(3)}}).report.after_channels)
    assert "lost" == lost["c", 0, 2].state


def test_a_channel_of_an_output_is_lost_as_nobody_knows_its_readers() -> None:
    found = told(made({("d", 0, 1): 1e-9, ("d", 1, 1): 0}).report.after_channels)
    assert "lost" == found["d", 0, 1].state


def test_a_small_bias_beside_its_weights_is_nothing_to_tell() -> None:
    small = {("d", 1, 1): 1e-9}
    assert {} == told(made(small).report.after_channels)
    weightless = told(made({**small, ("d", 0, 1): 0}).report.after_channels)
    assert {("d", 1, 1): "lost"} == {key: each.state for key, each in weightless.items()}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_a_number_that_is_not_finite_in_half_is_an_overflow(value: float) -> None:
    found = told(made({("d", 0, 1): value}).report.after_channels)
    assert ("overflow", -np.inf) == (found["d", 0, 1].state, found["d", 0, 1].snr)


# --- why ---


def test_the_gain_is_that_of_the_fold() -> None:
    result = made({("s", 0, 1): -1e9, ("b", 1, 1): 4.0})
    found = told(result.report.after_channels)["c", 0, 1]
    layers = {each.name: each for each in result.facts.original.layers}
    _, variance, factor = (blob.array().reshape(-1) for blob in layers["b"].blobs)
    eps = np.float32(layers["b"].parameter.batch_norm_param.eps)
    expected = 1e9 / np.sqrt(float(variance[1]) / float(factor[0]) + eps)
    assert pytest.approx(expected, rel=1e-6) == found.gain
    assert "b" == found.batch_norm
    assert pytest.approx(float(variance[1]) / float(factor[0])) == found.variance


def test_the_cause_is_the_first_batch_norm_of_a_chain() -> None:
    prototxt = text(convolution("c", "x", "c"), batch_norm("b", "c", "b"), scale(), batch_norm("b2", "s", "b2"))
    blobs = nets.numbers(prototxt)
    blobs["s"][0][1] = 1e9
    report = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, blobs)), rescale="never").report
    assert "b" == told(report.after_channels)["c", 0, 1].batch_norm


def test_a_layer_that_took_nothing_in_has_no_cause() -> None:
    found = told(made({("d", 0, 1): 1e9}).report.after_channels)["d", 0, 1]
    assert (None, None, None) == (found.gain, found.batch_norm, found.variance)


def test_check_knows_the_fold_that_would_be() -> None:
    net = truth.load("half-variance-overflow")
    model = caffe_fuse.load(net.prototxt_path, net.weights_path)
    found = check(model).channels
    assert told(found) == told(fused("half-variance-overflow").report.before_channels)
    assert {"bn1"} == {channel.batch_norm for _, channel in found.worst}


# --- policies, and how much is read ---


@pytest.mark.parametrize("policy", POLICIES)
def test_counts_and_states_are_those_of_the_policy(policy: str) -> None:
    found = fused("half-weights-one-channel", rescale="never", half_policy=policy).report.after_channels
    for blob in found.rows:
        for name in CLASSES[:2]:  # every one of these makes its channel worth telling
            assert getattr(blob.row.stats, name) == sum(getattr(each, name) for each in blob.channels)
    states = {each.state for each in told(found).values()}
    assert "overflow" in states
    assert found.worst


def test_a_policy_that_is_off_tells_nothing() -> None:
    report = fused("half-weights-one-channel", half_policy="off").report
    assert ((), ()) == (report.after_channels.rows, report.after_channels.worst)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", HALF_NETS)
def test_the_worst_are_the_same_whether_all_is_read_or_little(name: str, policy: str) -> None:
    report = fused(name, rescale="never", half_policy=policy).report
    bad = {key for key, each in told(report.after_channels).items() if each.state in ("overflow", "lost")}
    assert bad == {(row.layer, row.blob, each.channel) for row, each in report.after_channels.worst}


def test_without_a_report_no_channel_of_a_healthy_net_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a channel was read")

    monkeypatch.setattr(diagnosis, "by_channel", refuse)
    report = fused("half-variance-overflow").report
    assert any(line.startswith("verdict    safe") for line in fold_report(report, (), False))


def test_the_terminal_names_the_worst_channels_with_their_cause() -> None:
    lines = channel_lines(fused("half-weights-one-channel", rescale="never").report.after_channels, False)
    assert "channels   5 with overflow, 1 below 40 dB" == lines[0]
    assert "  conv1 blob 0 channel 3: 0.0 dB, gain 5.252e-09 from bn1 (variance 2.5)" in lines


def test_a_long_list_of_channels_is_cut() -> None:
    found = fused("half-weights-last-layer", rescale="never").report.after_channels
    cut: List[str] = channel_lines(found, False)
    assert (10, 21) == (len(cut), len(channel_lines(found, True)))


def test_a_blob_of_halves_loses_nothing() -> None:
    prototxt = text(convolution("c", "x", "c"))
    blobs = {name: [np.ones_like(each) for each in arrays] for name, arrays in nets.numbers(prototxt).items()}
    model = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    found = check(model).channels
    assert [(15.0, np.inf, ())] * 2 == [(blob.margin, blob.snr, blob.channels) for blob in found.rows]
