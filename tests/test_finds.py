"""Nets found by adversarial tests, each with the right result; tests/data/finds has them with the results of Caffe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Mapping, Tuple

import nets
import numpy as np
import pytest
import truth
from reference import run as reference_run

import caffe_fuse
from caffe_fuse import layers
from caffe_fuse.cli import process as cli
from caffe_fuse.errors import InputError
from caffe_fuse.layers.ranges import Passage, Range, between
from caffe_fuse.net.graph import Value
from caffe_fuse.net.state import State
from caffe_fuse.ranges.sums import sum_bounds
from caffe_fuse.schema import messages as schema

FINDS = Path(__file__).resolve().parent / "data" / "finds"
RECORDED = sorted(path.parent.name for path in FINDS.glob("*/truth.npz"))
FROM_THE_END = ["axis_unknown_rank_conv", "axis_unknown_rank_ip", "axis_unknown_rank_ip2"]


def files(find: str) -> Tuple[bytes, bytes]:
    return (FINDS / find / "net.prototxt").read_bytes(), (FINDS / find / "net.caffemodel").read_bytes()


def recorded(find: str, side: str) -> Dict[str, np.ndarray]:
    """Returns the inputs of Caffe ("in"), or the last value of every blob ("out")."""
    with np.load(FINDS / find / "truth.npz") as stored:
        return {key.split(":", 1)[1]: stored[key] for key in stored.files if key.startswith(side + ":")}


def fused(find: str) -> nets.Fused:
    prototxt, weights = files(find)
    return nets.fuse(prototxt, weights=weights)


def assert_equal(found: Mapping[str, np.ndarray], find: str) -> None:
    """Asserts that float32 values agree with those of another program, within some ten roundings."""
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


def test_a_layer_in_place_behind_a_reshape_is_told() -> None:
    """alias, alias_conv: the Sigmoid reads what the BatchNorm wrote to the memory of its bottom."""
    for find, blob in (("alias", "x"), ("alias_conv", "k")):
        (warning,) = fused(find).result.model.warnings
        assert f"BatchNorm b works in place on f, which shares memory with {blob}: Sigmoid g reads" in warning


IN_PLACE = [nets.layer("f", "Flatten", "k", "f"), nets.batch_norm("b", "f", "f"), nets.scale("s", "f", "s")]
POWER = nets.layer("p", "Power", "f", "f", "power_param { scale: 3 shift: 1 }")
ALIASED = {
    "read behind": [*IN_PLACE, nets.layer("g", "Sigmoid", "k", "g")],
    "read between": [*IN_PLACE[:2], nets.layer("g", "Sigmoid", "k", "g"), IN_PLACE[2]],
    "read between two in place": [
        *(IN_PLACE[0], POWER, nets.layer("g", "Sigmoid", "k", "g"), IN_PLACE[1]),
        nets.layer("h", "TanH", "k", "h"),
    ],
    "written between two that read": [
        nets.layer("d", "Split", "k", "f e"),
        nets.layer("p", "Power", "e", "q", "power_param { scale: 3 shift: 1 }"),
        nets.layer("r", "ReLU", "f", "f"),
        nets.batch_norm("b", "q", "b"),
        nets.batch_norm("n", "e", "n"),
    ],
    "a convolution behind": [*IN_PLACE[:2], nets.convolution("z", "k", "z"), nets.batch_norm("y", "z", "y")],
}


@pytest.mark.parametrize("rescale", ["never", "always"])
@pytest.mark.parametrize("case", ALIASED)
def test_a_fold_leaves_what_is_read_through_shared_memory(case: str, rescale: str) -> None:
    prototxt = nets.text(nets.convolution("k", "x", "k"), *ALIASED[case])
    answer = nets.fuse(prototxt, rescale=rescale)
    assert answer.result.model.warnings
    outputs = reference_run(answer.prototxt, answer.weights, {"x": nets.spread((2, 4, 5, 6), 99)})
    found = caffe_fuse.run(answer.result.model, {"x": nets.spread((2, 4, 5, 6), 99)}, blobs="all")
    assert found.keys() == outputs.keys()
    for difference in answer.compared().differences:
        if difference.blob not in answer.result.report.rescaled:
            assert difference.error <= difference.bound, difference


def test_no_power_of_two_passes_through_memory_that_is_changed_in_place() -> None:
    """The weights of k are too small for half precision; z reads what the Scale makes of its top."""
    prototxt = nets.text(nets.convolution("k", "x", "k"), *IN_PLACE[:2], nets.convolution("z", "k", "z"))
    numbers = nets.numbers(prototxt)
    small = {**numbers, "k": [each * np.float32(1e-4) for each in numbers["k"]]}
    answer = nets.fuse(prototxt, small, rescale="always")
    assert not answer.compared().violations


@pytest.mark.parametrize("blobs", ["g", "k", "all"])
def test_a_run_of_one_blob_runs_what_changes_its_memory(blobs: str) -> None:
    prototxt = nets.text(nets.convolution("k", "x", "k"), *ALIASED["read behind"])
    content, inputs = nets.caffemodel(prototxt, nets.numbers(prototxt)), {"x": nets.spread((2, 4, 5, 6), 99)}
    expected = reference_run(prototxt, content, inputs)
    for blob, numbers in caffe_fuse.run(
        nets.model(prototxt, content), inputs, precision="float64", blobs=blobs
    ).items():
        np.testing.assert_allclose(numbers, expected[blob], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("find", "what"),
    [
        ("multiple_sources", "net.prototxt:4:1: layer bn1 writes blob bn1, which layer bn0 in line 3 produces, too"),
        ("flatten_without_top", "net.prototxt:2:1: layer f (Flatten) has no top"),
        ("reshape_without_top", "net.prototxt:2:1: layer f (Reshape) has no top"),
        ("scale_without_top", "net.prototxt:3:1: layer s (Scale) has no top"),
    ],
)
def test_what_caffe_stops_at_is_an_error(find: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        caffe_fuse.load(FINDS / find / "net.prototxt", FINDS / find / "net.caffemodel")
    assert what in str(caught.value)


@pytest.mark.parametrize("type_name", ["Flatten", "Reshape", "Split", "Slice", "Concat"])
def test_a_layer_without_a_bottom_is_an_error(type_name: str) -> None:
    with pytest.raises(InputError, match=r"needs . bottom"):
        _ = nets.model(nets.text(nets.layer("f", type_name, "", "f")), None).net.shapes


def test_a_layer_in_place_has_to_be_the_only_reader() -> None:
    """For two consumers Caffe inserts a Split, and the layer is no longer in place (net.cpp:377)."""
    lines = [nets.convolution(), nets.layer("t", "TanH", "c", "t"), nets.layer("r", "ReLU", "c", "c")]
    with pytest.raises(InputError, match="layer r writes blob c, which layer c in line 3 produces, too"):
        nets.model(nets.text(*lines), None)
    nets.model(nets.text(lines[0], lines[2], lines[1]), None)


def test_an_input_without_a_shape_is_that_of_the_layer_that_makes_it() -> None:
    made = nets.layer("d", "Input", "", "x", "input_param { shape { dim: 1 dim: 4 dim: 5 dim: 6 } }")
    lines = (made, nets.convolution(), "")
    found = nets.model("\n".join(('input: "x"', *lines)).encode(), None).net
    assert (found.inputs, found.shapes[Value("c", 0)]) == ({}, (1, 6, 3, 4))
    with pytest.raises(InputError, match="multiple sources"):
        nets.model(nets.text(*lines), None)


def test_a_loss_needs_no_top() -> None:
    """Caffe: layer.hpp AutoTopBlobs."""
    loss = nets.layer("l", "SoftmaxWithLoss", "c x", "")
    assert len(nets.model(nets.text(nets.convolution(), loss), None).net.layers) == 2


def test_ip_negative_axis_counts_on_its_bottom() -> None:
    answer = fused("ip_negative_axis")
    assert [("merge", "it works along axis 1, but the channels are on axis 2")] == [
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
    """The filters have two spatial axes: with one more axis, axis 1 of the BatchNorm is not that of their channels."""
    find = FINDS / "axis_unknown_rank_conv"
    shape = (2, 4, 3, 6, 6)[-rank:]
    model = caffe_fuse.load(find / "net.prototxt", find / "net.caffemodel", input_shapes={"x": shape})
    (rewrite,) = caffe_fuse.fuse(model).facts.progress.rewrites
    assert rewrite.rule.name == ("fold" if rank == 4 else "merge")


def test_a_concat_along_an_axis_that_may_be_the_channels_has_one_range() -> None:
    """Two blobs of four channels may become eight channels, or four with the ranges of both."""
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
    """Each output has its own magnitude; with axis 0 the sum is over all images, and no bound is reported."""
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
    assert warning.startswith("net.prototxt:3:1: the net's own state has " + said.replace(":", ""))
    asked = State("TRAIN" if not level else "TEST", level)
    assert [layer.name for layer in nets.model(prototxt, None, asked).net.layers] == ["c", "r"]
    assert not nets.model(prototxt, None, asked).warnings


NAMES = {
    "control_name": {"s\x01q\x1b[31m", "r"},
    "escape_name": {"s\\x5cxe9", "r"},  # the letters of an escape, as the package spells them (names.py)
    "dollar_names": {"s"},
}


@pytest.mark.parametrize("find", NAMES)
def test_names_are_data(find: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shown escaped and never interpreted; the written net has the same names as before."""
    paths = [str(FINDS / find / name) for name in ("net.prototxt", "net.caffemodel")]
    page, report = tmp_path / "r.html", tmp_path / "r.json"
    command = ["fuse", *paths, "-o", str(tmp_path / "out"), "-v", "--verify"]
    assert 0 == cli.main([*command, "--html", str(page), "--report", str(report)])
    out, err = capsys.readouterr()
    assert [] == [letter for letter in out + err if not letter.isprintable() and letter != "\n"]
    assert 1 == out.count("verdict    ")
    model = caffe_fuse.load(tmp_path / "out.prototxt", tmp_path / "out.caffemodel")
    assert NAMES[find] == set(model.net.blob_names) - {"x"}
    original = caffe_fuse.load(*paths)
    assert caffe_fuse.verify(original, model, half_policy="off").equal
    assert json.loads(report.read_text())["verification"]["equal"]
    assert "<svg" in page.read_text()


def test_upgrade_v0_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Caffe's upgrade reads the inner type of a V0 layer; the weights belong to a ReLU, which takes none."""
    net, weights = (str(FINDS / "upgrade_v0_type" / name) for name in ("net.prototxt", "net.caffemodel"))
    assert 0 == cli.main(["upgrade", net, "-o", str(tmp_path / "u"), "-q"])
    (made,) = [each for each in caffe_fuse.load(tmp_path / "u.prototxt").net.layers if each.bottoms]
    assert ("c", "Convolution", 4) == (made.name, made.type, made.parameter.convolution_param.num_output)
    assert 2 == cli.main(["fuse", net, weights, "-o", str(tmp_path / "f")])
    assert "has no weights for layer c (Convolution)" in capsys.readouterr().err
