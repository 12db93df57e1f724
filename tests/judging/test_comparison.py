"""Whether two nets compute the same: correct folds of recorded nets do, wrong ones do not, and the place is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Tuple

import nets
import numpy as np
import pytest
import truth
from conftest import PROJECT
from nets import batch_norm, convolution, layer, scale, text

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.report.terminal import verify_report
from caffe_fuse.wording import Typed

FOLDED = [name for name in truth.names() if name.split("-")[0] in ("fold", "net", "random")]
SAMPLES = PROJECT / "sample_nets"


@pytest.mark.parametrize("name", FOLDED)
def test_a_fold_is_the_same_net(name: str) -> None:
    net = truth.load(name)
    model = caffe_fuse.load(net.prototxt_path, net.weights_path)
    result = caffe_fuse.fuse(model)
    found = caffe_fuse.verify(model, result.model, rescaled=result.report.rescaled, half_policy="off")
    assert None is found.first_difference


def model_of(prototxt: bytes, blobs: Dict[str, List[np.ndarray]]) -> caffe_fuse.Model:
    return nets.model(prototxt, nets.caffemodel(prototxt, blobs))


NET = text(
    convolution(),
    batch_norm(),
    scale(),
    layer("r", "ReLU", "s", "s"),
    convolution("d", "s", "d"),
    layer("p", "Softmax", "d", "p"),
)


@pytest.fixture
def numbers() -> Dict[str, List[np.ndarray]]:
    return nets.numbers(NET)


def _swapped(blobs: List[np.ndarray]) -> List[np.ndarray]:
    return [blob[[1, 0, *range(2, len(blob))]] if len(blob) > 1 else blob for blob in blobs]


@pytest.mark.parametrize(
    ("changed", "first"),
    [("c", ("c", "c")), ("b", ("b", "b")), ("s", ("s", "r")), ("d", ("d", "d"))],
    ids=["weights", "statistics", "scale", "a later layer"],
)
def test_two_swapped_channels_are_found_where_they_begin(
    numbers: Dict[str, List[np.ndarray]], changed: str, first: Tuple[str, str]
) -> None:
    other = {**numbers, changed: _swapped(numbers[changed])}
    found = caffe_fuse.verify(model_of(NET, numbers), model_of(NET, other), half_policy="off")
    difference = found.first_difference
    assert difference is not None
    assert first == (difference.blob, difference.layer)
    assert not found.equal


@pytest.mark.parametrize("error", [1e-3, 1e-5])
def test_a_small_wrong_eps_is_no_rounding(numbers: Dict[str, List[np.ndarray]], error: float) -> None:
    wrong = NET.replace(b'top: "b" }', b'top: "b" batch_norm_param { eps: %g } }' % (1e-5 + error))
    assert wrong != NET
    found = caffe_fuse.verify(model_of(NET, numbers), model_of(wrong, numbers), half_policy="off")
    assert "b" == (found.first_difference or found.worst).blob
    assert not found.equal


def test_rounding_is_no_difference(numbers: Dict[str, List[np.ndarray]]) -> None:
    near = {name: [np.nextafter(blob, np.float32(9)) for blob in blobs] for name, blobs in numbers.items()}
    assert caffe_fuse.verify(
        model_of(NET, numbers), model_of(NET, {**numbers, "c": near["c"]}), half_policy="off"
    ).equal


def test_an_answer_in_half_is_measured_against_float64() -> None:
    """(1 + 2^-13)^2 - 1, of which float32 keeps 2^-12 and half nothing."""
    prototxt = text(
        scale(bottom="x", rest="scale_param { }"),
        layer("p", "Power", "s", "p", "power_param { shift: -1 }"),
        shape=(1, 1),
    )
    number = np.array([1 + 2.0**-13], np.float32)
    model = model_of(prototxt, {"s": [number]})
    (answer,) = caffe_fuse.verify(model, model, {"x": number[np.newaxis]}).after
    assert (2.0**-12 + 2.0**-26, 0.0) == (answer.max_abs, answer.snr)


def test_a_blob_that_a_relu_ends_may_be_as_far_off_as_its_numbers_before() -> None:
    """A thousand below 0 was cut; the rest is small, but rounded as the whole was."""
    prototxt = text(scale(bottom="x"), layer("r", "ReLU", "s", "s"), shape=(1, 2))
    model = model_of(prototxt, {"s": [np.array([1000, 1], np.float32), np.array([0, 0.5], np.float32)]})
    (row,) = caffe_fuse.verify(model, model, {"x": np.array([[-1, 0.25]], np.float32)}, half_policy="off").rows
    assert 4 * float(np.spacing(np.float32(1000))) == row.bound


def test_of_a_blob_only_its_last_value_is_compared() -> None:
    """Six times x at once, and in place twice three times it."""
    once = text(layer("p", "Power", "x", "p", "power_param { scale: 6 }"))
    first = layer("p", "Power", "x", "p", "power_param { scale: 3 }")
    twice = text(first, layer("q", "Power", "p", "p", "power_param { scale: 2 }"))
    for pair in ((once, twice), (twice, once), (twice, twice)):
        one, other = (model_of(prototxt, {}) for prototxt in pair)
        found = caffe_fuse.verify(one, other, half_policy="off")
        assert (["p"], True) == ([row.blob for row in found.rows], found.equal)


def test_a_tolerance_is_a_share_of_the_largest_magnitude() -> None:
    prototxt = text(scale(bottom="x"), shape=(1, 2))
    first, second = (
        model_of(prototxt, {"s": [np.array([200, factor], np.float32), np.zeros(2, np.float32)]}) for factor in (1, 2)
    )
    inputs = {"x": np.ones((1, 2), np.float32)}
    found = [caffe_fuse.verify(first, second, inputs, half_policy="off", tolerance=each) for each in (1 / 128, 1 / 256)]
    assert [(True, 200 / 128), (False, 200 / 256)] == [(each.equal, each.rows[0].bound) for each in found]
    for tolerance in (-1, np.nan, np.inf):
        with pytest.raises(caffe_fuse.InputError, match="is not valid; give a share of the largest magnitude"):
            caffe_fuse.verify(first, second, inputs, half_policy="off", tolerance=tolerance)


def test_both_answers_in_half_are_told(numbers: Dict[str, List[np.ndarray]]) -> None:
    numbers["b"] = [numbers["b"][0], np.full(6, 1e6, np.float32), np.ones(1, np.float32)]
    model = model_of(NET, numbers)
    result = caffe_fuse.fuse(model)
    found = caffe_fuse.verify(model, result.model)
    assert ["p"] == [answer.blob for answer in found.before] == [answer.blob for answer in found.after]
    assert found.before[0].snr < 40 < 55 < found.after[0].snr


def test_answers_in_half_are_those_of_the_device(numbers: Dict[str, List[np.ndarray]]) -> None:
    model = model_of(NET, {**numbers, "d": [blob * np.float32(2**-14) for blob in numbers["d"]]})
    (kept,), (flushed,) = (caffe_fuse.verify(model, model, half_policy=name).after for name in ("ieee", "ncnn"))
    assert flushed.snr < kept.snr - 6
    found = caffe_fuse.verify(model, model, half_policy="off")
    assert ((), (), ()) == found.in_half
    with pytest.raises(caffe_fuse.InputError, match="half policy x is not known; choose from off, ieee, flush"):
        caffe_fuse.verify(model, model, half_policy="x")  # type: ignore[arg-type]


def test_what_is_no_number_in_half_is_counted(numbers: Dict[str, List[np.ndarray]]) -> None:
    numbers["d"] = [np.full_like(numbers["d"][0], 6e4), *numbers["d"][1:]]
    model = model_of(NET, numbers)
    (answer,) = caffe_fuse.verify(model, model).before
    assert answer.not_finite > 0
    assert -np.inf == answer.snr


def test_nets_without_a_common_name_are_compared_by_their_outputs(numbers: Dict[str, List[np.ndarray]]) -> None:
    renamed = NET
    for name in "cbsdp":
        renamed = renamed.replace(b'top: "%s"' % name.encode(), b'top: "%s2"' % name.encode())
        renamed = renamed.replace(b'bottom: "%s"' % name.encode(), b'bottom: "%s2"' % name.encode())
    found = caffe_fuse.verify(model_of(NET, numbers), model_of(renamed, numbers))
    assert ["p"] == [row.blob for row in found.rows]
    assert found.equal
    assert found.before == found.after
    assert ["p"] == [answer.blob for answer in found.after]


def test_what_cannot_be_run_is_named_and_the_rest_compared(numbers: Dict[str, List[np.ndarray]]) -> None:
    unknown = NET + b'layer { name: "odd" type: "Odd" bottom: "s" top: "odd" }\n'
    found = caffe_fuse.verify(model_of(unknown, numbers), model_of(unknown, numbers), half_policy="off")
    assert ["odd"] == list(found.unavailable)
    assert "the type is not known" in found.unavailable["odd"]
    assert ["c", "b", "s", "d", "p"] == [row.blob for row in found.rows]


def test_nothing_to_compare_is_an_error() -> None:
    one, other = (text(layer("o", "Odd", "x", name)) for name in ("o", "q"))
    with pytest.raises(caffe_fuse.InputError, match="nothing can be compared"):
        caffe_fuse.verify(nets.model(one, None), nets.model(other, None))


def digits(tmp_path: Path) -> Tuple[List[str], List[str]]:
    pair = [str(SAMPLES / f"digits_resnet{ending}") for ending in (".prototxt", ".caffemodel")]
    assert 0 == cli.main(["fuse", *pair, "-o", str(tmp_path / "fused"), "-q"])
    return pair, [str(tmp_path / "fused.prototxt"), str(tmp_path / "fused.caffemodel")]


def test_the_command_compares_two_pairs_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = digits(tmp_path)
    report = tmp_path / "r.json"
    arguments = ["--input", str(SAMPLES / "digits_test.h5"), "--report", str(report)]
    assert 0 == cli.main(["verify", *before, *after, *arguments])
    assert "verdict    the same net: what differs is rounding" == capsys.readouterr().out.splitlines()[-1]
    written = json.loads(report.read_text())
    assert (1, 0, True) == (written["schema"], written["status"], written["verification"]["equal"])
    assert 4 == len(written["inputs"])
    assert (
        written["verification"]["half"]["before"][0]["snr"]
        < 0
        < 60
        < written["verification"]["half"]["after"][0]["snr"]
    )


def test_the_command_says_where_nets_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prototxt = NET
    numbers = nets.numbers(prototxt)
    for name, blobs in (("a", numbers), ("b", {**numbers, "d": _swapped(numbers["d"])})):
        (tmp_path / f"{name}.prototxt").write_bytes(prototxt)
        (tmp_path / f"{name}.caffemodel").write_bytes(nets.caffemodel(prototxt, blobs))
    pairs = [str(tmp_path / f"{name}{ending}") for name in "ab" for ending in (".prototxt", ".caffemodel")]
    assert 1 == cli.main(["verify", *pairs, "--precision", "float32"])
    out = capsys.readouterr().out
    assert "first in blob d of layer d" in out
    verdict, step = out.splitlines()[-2:]
    assert "verdict    the nets DIFFER" == verdict
    assert f"next       look at the first layer that differs: caffe-fuse run {pairs[2]} {pairs[3]} --blobs d" == step


def test_fuse_verifies_before_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [str(SAMPLES / f"digits_resnet{ending}") for ending in (".prototxt", ".caffemodel")]
    command = ["fuse", *pair, "-o", str(tmp_path / "a"), "--verify", "--report", str(tmp_path / "r.json"), "-q"]
    assert 0 == cli.main(command)
    assert json.loads((tmp_path / "r.json").read_text())["verification"]["equal"]
    (tmp_path / "a.prototxt").unlink()
    (tmp_path / "a.caffemodel").unlink()
    monkeypatch.setattr("caffe_fuse.judging.compare.NOISE", 0.0)
    monkeypatch.setattr("caffe_fuse.judging.compare.UNITS", 0.0)
    assert 1 == cli.main(command)
    assert ["r.json"] == [path.name for path in tmp_path.iterdir()]
    assert "the nets differ" in json.loads((tmp_path / "r.json").read_text())["problems"][0]


def test_a_repaired_net_is_compared_by_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = truth.load("half-weights-one-channel")
    before = [str(net.prototxt_path), str(net.weights_path)]
    after = [str(tmp_path / f"a{ending}") for ending in (".prototxt", ".caffemodel")]
    report = str(tmp_path / "r.json")
    assert 0 == cli.main(["fuse", *before, "-o", str(tmp_path / "a"), "--report", report, "-q"])
    assert json.loads(Path(report).read_text())["rescaled"]
    assert 1 == cli.main(["verify", *before, *after, "-q"])
    assert "only inner blobs differ: if fuse rescaled the second net, give its report" in capsys.readouterr().err
    assert 0 == cli.main(["verify", *before, *after, "-q", "--rescaled", report])
    assert "" == capsys.readouterr().err
    assert 2 == cli.main(["verify", *before, *after, "-q", "--rescaled", before[0]])
    wrong = json.loads(Path(report).read_text())
    fitless, wordy = "channels of it; give the report of the fuse", "is not a JSON report of fuse"
    for exponents, reason in (([1], fitless), (["a"], wordy), ("many", wordy)):
        wrong["rescaled"][0]["channel_exponents"] = exponents
        Path(report).write_text(json.dumps(wrong))
        assert 2 == cli.main(["verify", *before, *after, "-q", "--rescaled", report])
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_not_finite_in_both_nets_are_no_difference(
    numbers: Dict[str, List[np.ndarray]], wrong: float
) -> None:
    numbers["d"][0].flat[0] = wrong
    broken = model_of(NET, numbers)
    found = caffe_fuse.verify(broken, broken, half_policy="off")
    assert found.equal
    assert all(np.isfinite([row.max_abs, row.bound]).all() for row in found.rows)
    assert found.worst.share <= 1
    whole = model_of(NET, {**numbers, "d": [np.where(np.isfinite(blob), blob, 1) for blob in numbers["d"]]})
    for first, second in ((broken, whole), (whole, broken)):
        difference = caffe_fuse.verify(first, second, half_policy="off").first_difference
        assert difference is not None
        assert ("d", np.inf) == (difference.blob, difference.max_abs)


def test_what_the_first_net_cannot_hold_in_float32_itself_is_not_asked_of_the_second() -> None:
    prototxt = text(layer("s", "Scale", "x", "s"))
    large = np.array([1, 1, 1, 3e38], np.float32)
    first = model_of(prototxt, {"s": [large]})
    found = caffe_fuse.verify(first, first, half_policy="off")
    assert (True, True) == (found.equal, bool(np.isfinite(found.worst.bound)))
    swapped = model_of(prototxt, {"s": [large[::-1].copy()]})
    assert not caffe_fuse.verify(first, swapped, half_policy="off").equal


def test_a_net_without_weights_cannot_be_compared(numbers: Dict[str, List[np.ndarray]]) -> None:
    whole, bare = model_of(NET, numbers), nets.model(NET, None)
    for pair in ((whole, bare), (bare, whole)):
        with pytest.raises(caffe_fuse.InputError, match="no weights to run with; load the net with its weights"):
            caffe_fuse.verify(*pair)


@pytest.mark.parametrize(
    "inside",
    [
        [layer("m", "Permute", "c", "m", "permute_param { order: 0 order: 2 order: 3 order: 1 }")],
        [layer("m", "InnerProduct", "c", "m", "inner_product_param { num_output: 6 axis: 3 }")],
    ],
    ids=["Permute", "InnerProduct"],
)
def test_a_repaired_blob_may_have_its_channels_at_the_end(inside: List[str]) -> None:
    rest = "inner_product_param { num_output: 3 axis: 3 }"
    prototxt = text(convolution(), *inside, layer("i", "InnerProduct", "m", "i", rest))
    blobs = nets.numbers(prototxt)
    blobs["i"][0] *= np.ldexp(1.0, [30, 0, -3, 20, 0, 8]).astype(np.float32)
    result = caffe_fuse.fuse(model_of(prototxt, blobs)).verified()
    assert "m" in result.report.rescaled
    assert result.verification is not None
    assert result.verification.equal


def detector(gamma: float) -> caffe_fuse.Model:
    """Returns a detector of two boxes, the second with a confidence next to the threshold."""
    inputs = [("confidence", "1 dim: 4"), ("location", "1 dim: 8"), ("prior", "1 dim: 2 dim: 8")]
    lines = [f'input: "{name}" input_shape {{ dim: {dims} }}' for name, dims in inputs]
    settings = "num_classes: 2 confidence_threshold: 0.1 nms_param { nms_threshold: 0.5 }"
    lines += [
        layer("s", "Scale", "confidence", "s", "scale_param { }"),
        layer("d", "DetectionOutput", "location s prior", "d", f"detection_output_param {{ {settings} }}"),
    ]
    return model_of("\n".join(lines).encode(), {"s": [np.array([1, 1, 1, gamma], np.float32)]})


def test_other_detections_for_rounding_alone_are_no_difference() -> None:
    above = np.nextafter(np.float32(0.1), np.float32(1))
    boxes = [0, 0, 0.4, 0.4, 0.5, 0.5, 0.9, 0.9]
    inputs = {
        "confidence": np.array([[0.2, 0.8, 0.9, above]], np.float32),
        "location": np.zeros((1, 8), np.float32),
        "prior": np.array([[boxes, [0.1] * 8]], np.float32),
    }
    found = caffe_fuse.verify(detector(1), detector(1 - 2**-24), inputs)
    assert found.equal
    row = found.rows[-1]
    assert ("d", 1, True) == (row.blob, row.unmatched, bool(np.isclose(0.1, row.max_abs)))
    assert not caffe_fuse.verify(detector(1), detector(0.99), inputs).equal


@pytest.mark.parametrize(
    ("outputs", "last"), [(8, "B o7: "), (9, "... and 1 output more of each (--report lists them)")]
)
def test_answers_that_are_not_shown_are_counted(outputs: int, last: str) -> None:
    model = model_of(text(*(layer(f"o{place}", "AbsVal", "x", f"o{place}") for place in range(outputs))), {})
    lines = [line for line in verify_report(caffe_fuse.verify(model, model), Typed(())) if "in half" in line]
    assert lines[-1].startswith(f"in half    {last}")
    assert 16 == sum(" o" in line and "SNR" in line for line in lines)


def test_a_type_by_its_second_name_has_the_same_bound(numbers: Dict[str, List[np.ndarray]]) -> None:
    """What the blob was before the ReLU counts for it."""
    bounds = []
    for name in (b"ReLU", b"CuDNNReLU"):
        net = NET.replace(b'"ReLU"', b'"' + name + b'"')
        assert name in net
        found = caffe_fuse.verify(model_of(net, numbers), model_of(net, numbers), half_policy="off")
        bounds.append({row.blob: row.bound for row in found.rows})
    assert bounds[0] == bounds[1]
