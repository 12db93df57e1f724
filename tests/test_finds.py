"""Nets that an adversarial test found, each with what is right; tests/data/finds has them with Caffe's own results."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Mapping

import nets
import numpy as np
import pytest
import truth
from reference import run as reference_run

import caffe_fuse
from caffe_fuse import layers, schema
from caffe_fuse.layers.ranges import Passage, Range, between
from caffe_fuse.net import Value
from caffe_fuse.state import State
from caffe_fuse.sums import sum_bounds

FINDS = Path(__file__).resolve().parent / "data" / "finds"
RECORDED = sorted(path.parent.name for path in FINDS.glob("*/truth.npz"))
FROM_THE_END = ["axis_unknown_rank_conv", "axis_unknown_rank_ip", "axis_unknown_rank_ip2"]


def files(find: str) -> List[bytes]:
    return [(FINDS / find / name).read_bytes() for name in ("net.prototxt", "net.caffemodel")]


def recorded(find: str, side: str) -> Dict[str, np.ndarray]:
    """What was fed to Caffe ("in"), or what it gave ("out"): the last value of every blob."""
    with np.load(FINDS / find / "truth.npz") as stored:
        return {key.split(":", 1)[1]: stored[key] for key in stored.files if key.startswith(side + ":")}


def fused(find: str) -> nets.Fused:
    prototxt, weights = files(find)
    return nets.fuse(prototxt, weights=weights)


def assert_equal(found: Mapping[str, np.ndarray], find: str) -> None:
    """float32 numbers of another program, some ten roundings away."""
    for blob, numbers in recorded(find, "out").items():
        if blob in found:
            np.testing.assert_allclose(found[blob], numbers, rtol=0, atol=1e-5 * np.abs(numbers).max(), err_msg=blob)


@pytest.mark.parametrize("find", RECORDED)
def test_the_reference_gives_what_caffe_gave(find: str) -> None:
    assert_equal(reference_run(*files(find), recorded(find, "in")), find)


@pytest.mark.parametrize("find", RECORDED)
def test_a_run_gives_what_caffe_gave(find: str) -> None:
    model = caffe_fuse.load(FINDS / find / "net.prototxt", FINDS / find / "net.caffemodel")
    found = caffe_fuse.run(model, recorded(find, "in"), blobs="all")
    assert recorded(find, "out").keys() == found.keys()
    assert_equal(found, find)


@pytest.mark.parametrize("find", RECORDED)
def test_the_folded_net_gives_what_caffe_gave(find: str) -> None:
    answer, inputs = fused(find), recorded(find, "in")
    assert not truth.compare(*answer.before, answer.prototxt, answer.weights, inputs).violations
    assert_equal(reference_run(answer.prototxt, answer.weights, inputs), find)


def test_ip_negative_axis_counts_on_its_bottom() -> None:
    answer = fused("ip_negative_axis")
    assert [("merge", "it works along axis 1, and the channels are axis 2")] == [
        (each.rule.name, each.reason) for each in answer.result.facts.progress.rewrites
    ]


@pytest.mark.parametrize("find", FROM_THE_END)
def test_an_axis_from_the_end_of_an_unknown_rank_absorbs_nothing(find: str) -> None:
    (rewrite,) = fused(find).result.facts.progress.rewrites
    assert rewrite.rule.name == "merge"
    assert "--input-shape" in rewrite.reason


def test_an_axis_from_the_front_needs_no_rank() -> None:
    (rewrite,) = fused("axis_unknown_rank_lone_scale").result.facts.progress.rewrites
    assert rewrite.rule.name == "fold"


@pytest.mark.parametrize("rank", [4, 5])
def test_a_given_shape_tells_the_rank(rank: int) -> None:
    """The filters have two axes of space: with one more axis in front the BatchNorm's are not their channels."""
    find = FINDS / "axis_unknown_rank_conv"
    shape = (2, 4, 3, 6, 6)[-rank:]
    model = caffe_fuse.load(find / "net.prototxt", find / "net.caffemodel", input_shapes={"x": shape})
    (rewrite,) = caffe_fuse.fuse(model).facts.progress.rewrites
    assert rewrite.rule.name == ("fold" if rank == 4 else "merge")


def test_a_concat_along_an_axis_that_may_be_the_channels_has_one_range() -> None:
    """Two blobs of four channels may be eight, or four with what both have."""
    ones = between(-1, 1), between(2, 3)
    parts = [Range(*(np.repeat(ends, 4) for ends in each)) for each in ones]
    concat = schema.new("LayerParameter")
    concat.concat_param.axis = -3
    carry = layers.LAYERS["Concat"].ranges
    assert carry is not None
    (found,) = carry(Passage(concat, [], parts, [None, None], [None]))
    assert (found.lows.tolist(), found.highs.tolist()) == ([-1], [3])


@pytest.mark.parametrize("axis", [0, -4, 1, -3, 2, -2])
def test_a_bound_of_sums_goes_by_the_axis_of_the_bottom(axis: int) -> None:
    """Each output has its own magnitude; with axis 0 the sum is over all images, and nothing is said."""
    shape = (2, 4, 3, 5)
    settings = f"inner_product_param {{ num_output: 4 axis: {axis} bias_term: false }}"
    prototxt = nets.text(nets.layer("c", "InnerProduct", "x", "c", settings), shape=shape)
    terms = int(np.prod(shape[axis:]))
    weights = np.arange(1, 5, dtype=np.float32)[:, None] * np.ones((4, terms), np.float32)
    net = nets.model(prototxt, nets.caffemodel(prototxt, {"c": [weights]})).net
    found = sum_bounds(net, {Value("x", 0): between(-1, 1)})
    expected = [] if axis in (0, -4) else [[terms * output for output in (1, 2, 3, 4)]]
    assert [bound.bounds.tolist() for bound in found] == expected


def test_the_stages_of_the_net_itself_count() -> None:
    assert [each.rule.name for each in fused("state_stage").result.facts.progress.rewrites] == ["fold"]
    assert len(fused("state_stage").result.facts.progress.rewrites[0].before) == 3
    assert len(fused("state_not_stage").result.facts.progress.rewrites[0].before) == 2


@pytest.mark.parametrize(("said", "level"), [("level: 2", 2), ("phase: TRAIN", 0)])
def test_what_the_command_says_goes_before_the_state_of_the_net(said: str, level: int) -> None:
    """As in Caffe: caffe.Net(file, caffe.TEST) sets phase TEST and level 0, whatever the file says."""
    rules = "include { min_level: 1 }" if level else "include { phase: TRAIN }"
    prototxt = nets.text(f"state {{ {said} }}", nets.convolution(), nets.layer("r", "ReLU", "c", "r", rules))
    built = nets.model(prototxt, None)
    assert [layer.name for layer in built.net.layers] == ["c"]
    (warning,) = built.warnings
    assert warning.startswith("net.prototxt:3:1: the net's own state says " + said.replace(":", ""))
    asked = State("TRAIN" if not level else "TEST", level)
    assert [layer.name for layer in nets.model(prototxt, None, asked).net.layers] == ["c", "r"]
    assert not nets.model(prototxt, None, asked).warnings
