"""Range repair: what half precision would lose comes back, and no output changes by a bit."""

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
from caffe_fuse.channels import by_channel, decibels
from caffe_fuse.effects import layout_of
from caffe_fuse.errors import InputError
from caffe_fuse.losses import losses
from caffe_fuse.net import Net, Value
from caffe_fuse.rescale import rescale
from caffe_fuse.result import Result

REPAIRED = ("half-weights-overflow", "half-weights-underflow", "half-weights-one-channel", "half-weights-residual")


def fused(name: str, **options: Any) -> Result:
    net = truth.load(name)
    return caffe_fuse.fuse(caffe_fuse.load(net.prototxt_path, net.weights_path), **options)


def saved(result: Result, prefix: Path) -> Tuple[bytes, bytes]:
    weights, prototxt = result.save(str(prefix))
    return Path(prototxt).read_bytes(), Path(weights).read_bytes()


def ratios(net: Net) -> Dict[str, np.ndarray]:
    """Signal to noise of each channel of each layer in dB, its bias included."""
    found = {}
    for each in net.layers:
        stats = [by_channel(blob, layout_of(each, number)) for number, blob in enumerate(each.blobs)]
        if stats:
            found[each.name] = decibels(sum(one.signal for one in stats), sum(one.noise for one in stats))
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
    assert [("conv2", 0), ("conv2", 1)] == [(each.layer.name, each.blob) for each in report.unrepaired]
    assert (
        "Convolution conv2 blob 0 overflows in channel 0, 1, 2, 3, and cannot be repaired: conv2 is an output of "
        "the net; keep layer conv2 in float32"
    ) == str(report.unrepaired[0])
    assert ["conv2"] == sorted({row.layer for row in report.after.rows if not row.stats.safe})


@pytest.mark.parametrize("name", ["half-variance-overflow", "half-variance-tiny", "net-resnet-bottleneck", "net-unet"])
def test_a_net_that_needs_no_repair_gets_none(name: str) -> None:
    result, plain = fused(name), fused(name, rescale="never")
    assert {} == result.report.rescaled
    assert nets._written(plain) == nets._written(result)


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
    with pytest.raises(InputError, match="keep_blobs names nothing, which is no blob of the net"):
        fused("half-weights-overflow", keep_blobs=["nothing"])
    with pytest.raises(InputError, match="rescale cannot be perhaps; choose from needed, always, never"):
        fused("half-weights-overflow", rescale="perhaps")


def test_ranges_of_activations_count_as_well() -> None:
    prototxt = text(
        layer("c", "Convolution", "x", "c", "convolution_param { num_output: 2 kernel_size: 1 }"),
        layer("d", "Convolution", "c", "d", "convolution_param { num_output: 2 kernel_size: 1 }"),
    )
    net = nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt))).net
    ranges = {Value("c", 0): np.array([[1.0, 2.0**20], [1.0, 2.0]])}
    found = rescale(net, needed=False, ranges=ranges)
    assert found is not None
    assert found.blobs["c"][0] <= -5
    plain = rescale(net, needed=False)
    assert plain is None or plain.blobs.get("c", (0, 0))[0] > -5


def spoiled(prototxt: bytes, seed: int) -> Tuple[rescaled.Files, rescaled.Files, Dict[str, Tuple[int, ...]]]:
    """A net that half precision can hold, and the same with powers of two that it cannot."""
    return rescaled.spread(prototxt, nets.numbers(prototxt, seed), seed, reach=24)


@given(random_nets(), st.integers(0, 1000))
def test_what_powers_of_two_have_spoiled_they_repair(prototxt: bytes, seed: int) -> None:
    before, after, _ = spoiled(prototxt, seed)
    clean = nets.model(*before).net
    if losses(clean.layers):
        return
    result = caffe_fuse.fuse(nets.model(*after))
    assert () == result.report.unrepaired
    assert 0 == result.report.status
    assert [] == losses(result.model.net.layers)
    inputs = {"x": nets.spread(INPUT, 99)}
    found = rescaled.values(rescaled.files(result, result.model.net), inputs)
    assert [] == rescaled.differences(rescaled.values(after, inputs), found, dict(result.report.rescaled))


@given(random_nets(), st.integers(0, 1000), st.sampled_from(["needed", "always"]))
def test_no_repair_changes_an_output(prototxt: bytes, seed: int, mode: str) -> None:
    """Numbers of which each row is out of range in its own way: most cannot be repaired."""
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
