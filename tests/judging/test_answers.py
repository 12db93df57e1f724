"""The outputs in half precision, and when they make the verdict unsafe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import nets
import numpy as np
import pytest
from nets import batch_norm, convolution, layer, text

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.judging.agreement import kinds
from caffe_fuse.report.json_report import verification
from caffe_fuse.report.terminal import verify_report
from caffe_fuse.wording import Typed

HOT = text(convolution(), layer("r", "ReLU", "c", "c"), convolution("d", "c", "d"))


def model_of(prototxt: bytes, blobs: Dict[str, List[np.ndarray]]) -> caffe_fuse.Model:
    return nets.model(prototxt, nets.caffemodel(prototxt, blobs))


def hot(factor: float) -> Dict[str, List[np.ndarray]]:
    blobs = nets.numbers(HOT)
    return {**blobs, "c": [blob * np.float32(factor) for blob in blobs["c"]]}


def test_an_answer_that_half_precision_loses_is_not_safe() -> None:
    cold, lost = (caffe_fuse.fuse(model_of(HOT, hot(factor))).verified() for factor in (1, 5000))
    assert [(0, True), (1, False)] == [(each.report.status, each.safe) for each in (cold, lost)]
    (problem,) = lost.report.problems
    assert str(problem).startswith("output d has ")
    assert str(problem).endswith("finite in float32 and not finite in half precision")
    (step,) = lost.report.next
    assert "--ranges RANGES.json: caffe-fuse calibrate" in step


def test_verify_says_so_of_two_equal_nets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.prototxt").write_bytes(HOT)
    (tmp_path / "a.caffemodel").write_bytes(nets.caffemodel(HOT, hot(5000)))
    pair = [str(tmp_path / "a.prototxt"), str(tmp_path / "a.caffemodel")]
    report = tmp_path / "r.json"
    assert 1 == cli.main(["verify", *pair, *pair, "--report", str(report)])
    lines = capsys.readouterr().out.splitlines()
    assert "verdict    NOT safe in half precision, though the same net" in lines
    assert f"caffe-fuse calibrate {pair[0]} {pair[1]}" in lines[-1]
    found = json.loads(report.read_text())
    assert (1, True, 1) == (found["status"], found["verification"]["equal"], len(found["problems"]))
    (answer,) = found["verification"]["half"]["after"]
    assert answer["lost"] == answer["not_finite"] > 0
    assert 0 == cli.main(["verify", *pair, *pair, "-q", "--precision", "float32"])


@pytest.mark.parametrize("policy", ["saturate", "mnn"])
@pytest.mark.parametrize("prototxt", [HOT, text(convolution())])
def test_an_answer_made_of_clipped_numbers_is_not_safe(prototxt: bytes, policy: Any) -> None:
    """Inside or at the end, a device that saturates continues with 65504: finite, and wrong by orders of magnitude."""
    blobs = {name: [blob * np.float32(5000) for blob in every] for name, every in nets.numbers(prototxt).items()}
    found = caffe_fuse.fuse(model_of(prototxt, blobs), half_policy=policy).verified()
    assert 1 == found.report.status
    (problem,) = found.report.problems
    assert str(problem).endswith("finite in float32 and computed from clipped ones in half precision")
    (answer,) = found.report.verification.after if found.report.verification else ()
    assert (0, True) == (answer.not_finite, answer.lost > 0)
    assert answer.snr < 10


def test_clipping_that_no_output_shows_is_safe() -> None:
    """A ReLU6 yields 6 for 65504 and for what was clipped to it."""
    prototxt = text(convolution(), layer("r", "ReLU6", "c", "c"))
    model = model_of(prototxt, hot(5000))
    assert caffe_fuse.verify(model, model, half_policy="saturate").problems == ()


def test_what_a_batch_norm_loses_is_to_be_folded() -> None:
    prototxt = text(convolution(), batch_norm())
    blobs = nets.numbers(prototxt)
    blobs["b"][1] = np.full(6, 1e6, np.float32)
    blobs["b"][0] = np.full(6, 1e6, np.float32)
    model = model_of(prototxt, blobs)
    (problem,) = caffe_fuse.verify(model, model).problems
    assert "fold the BatchNorm layers" in problem.remedies[0].text
    assert caffe_fuse.fuse(model).verified().safe


def test_the_net_to_fold_is_the_one_that_has_batch_norms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prototxt = text(convolution(), batch_norm())
    blobs = nets.numbers(prototxt)
    blobs["b"][:2] = [np.full(6, 1e6, np.float32)] * 2
    (tmp_path / "a.prototxt").write_bytes(prototxt)
    (tmp_path / "a.caffemodel").write_bytes(nets.caffemodel(prototxt, blobs))
    pair, folded = [[str(tmp_path / f"{name}.{end}") for end in ("prototxt", "caffemodel")] for name in "af"]
    assert 0 == cli.main(["fuse", *pair, "-o", str(tmp_path / "f")])
    capsys.readouterr()
    assert 1 == cli.main(["verify", *folded, *pair])
    assert f"caffe-fuse fuse {pair[0]} {pair[1]}\n" in capsys.readouterr().out


def test_what_float32_does_not_have_is_not_lost() -> None:
    prototxt = text(layer("s", "Scale", "x", "s"), shape=(1, 4))
    broken = model_of(prototxt, {"s": [np.array([np.nan, 1, np.inf, 1], np.float32)]})
    found = caffe_fuse.verify(broken, broken)
    (answer,) = found.after
    assert (2, 0) == (answer.not_finite, answer.lost)
    assert () == found.problems


def classifier(last: str = "Softmax", settings: str = "") -> bytes:
    inner = "inner_product_param { num_output: 3 }"
    return text(layer("i", "InnerProduct", "x", "i", inner), layer("p", last, "i", "p", settings), shape=(2, 4))


# Row 1 has two classes that are equal in half precision.
ROWS = np.array([[1, 0, 0, 0], [0, 1, 1, 0]], np.float32)
WEIGHTS = np.array([[1, 0, 0.25, 0], [0.5, 2, 0.0001, 0], [0.25, 2, 0.0002, 0]], np.float32)


def compared(prototxt: bytes, min_snr: Optional[float] = None) -> caffe_fuse.Verification:
    model = model_of(prototxt, {"i": [WEIGHTS, np.zeros(3, np.float32)]})
    return caffe_fuse.verify(model, model, {"x": ROWS}, min_snr=min_snr)


@pytest.mark.parametrize(("asked", "words"), [(None, []), (20.0, ["a different top class"])])
def test_a_top_class_that_changes_counts_where_it_was_asked_for(asked: Optional[float], words: List[str]) -> None:
    found = compared(classifier(), asked)
    assert found.equal
    assert [False] == [answer.top1 for answer in found.after]
    assert words == [word for problem in found.problems for word in words if word in str(problem)]
    assert len(words) == len(found.problems)


def test_an_snr_below_the_one_asked_for_is_not_safe() -> None:
    (answer,) = compared(classifier()).after
    (low, _) = compared(classifier(), answer.snr + 1).problems
    assert f"output p has an SNR of {answer.snr:.1f} dB in half precision, below the" in str(low)


def test_the_command_takes_a_least_snr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prototxt = text(convolution())
    (tmp_path / "a.prototxt").write_bytes(prototxt)
    (tmp_path / "a.caffemodel").write_bytes(nets.caffemodel(prototxt, nets.numbers(prototxt)))
    pair = [str(tmp_path / "a.prototxt"), str(tmp_path / "a.caffemodel")]
    for command in (["verify", *pair, *pair], ["fuse", *pair, "--verify", "--dry-run"]):
        assert [0, 1] == [cli.main([*command, "-q", "--min-snr", number]) for number in ("40", "150")]
        assert 2 == cli.main([*command, "-q", "--min-snr", "40", "--half-policy", "off"])
        assert 2 == cli.main([*command, "-q", "--min-snr", "nan"])
    capsys.readouterr()
    assert 2 == cli.main(["fuse", *pair, "--min-snr", "40"])
    assert "--min-snr needs --verify; give both" in capsys.readouterr().err


MOVERS = (
    layer("f", "Flatten", "i", "f"),
    layer("q", "Reshape", "f", "q", "reshape_param { shape { dim: 0 dim: -1 } }"),
)
INNER = layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 3 }")


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ([INNER], ["i"]),
        ([INNER, *MOVERS], ["q"]),
        ([INNER, layer("r", "ReLU", "i", "r")], []),
        ([INNER, layer("r", "ReLU", "i", "i")], []),
        ([INNER, layer("s", "Softmax", "i", "s"), layer("f", "Flatten", "s", "f")], ["s", "f"]),
        ([layer("s", "CuDNNSoftmax", "x", "s")], ["s"]),
        ([convolution()], []),
    ],
)
def test_what_makes_a_blob_tells_whether_it_is_classes(layers: List[str], names: List[str]) -> None:
    net = nets.model(text(*layers, shape=(2, 4, 3, 3)), None).net
    assert names == [name for name, kind in kinds(net).items() if kind.is_classes]


def test_a_row_of_numbers_that_are_no_classes_has_no_top_class() -> None:
    found = compared(classifier("AbsVal"))
    assert [None, None] == [row.top1 for row in found.rows]
    assert [None] == [answer.top1 for answer in found.after]
    assert not any("top class" in line for line in verify_report(found, Typed(())))


def test_the_largest_classes_of_both_are_told() -> None:
    found = compared(classifier())
    halves, singles = (
        caffe_fuse.run(model_of(classifier(), {"i": [WEIGHTS, np.zeros(3, np.float32)]}), {"x": ROWS}, precision=each)
        for each in ("half", "float32")
    )
    (answer,) = found.after
    for row, half, single in zip(answer.top5, halves["p"], singles["p"]):
        assert [(place, half[place]) for place in np.argsort(-half, kind="stable")] == list(row.half)
        assert [(place, single[place]) for place in np.argsort(-single, kind="stable")] == list(row.float32)
    lines = verify_report(found, Typed(()))
    assert any(line.startswith("in half    B p (row 1 of 2): SNR") and "; 1: " in line for line in lines)
    assert any(line.startswith("in float32 A p (row 1 of 2): 2: ") for line in lines)
    (told,) = verification(found)["half"]["after"]
    assert ["half", "float32"] == list(told["top5"][0])
    assert {"class": 2, "number": float(singles["p"][1][2])} == told["top5"][1]["float32"][0]


def test_a_rough_answer_is_told_where_no_limit_was_given() -> None:
    """The output of the first net is the difference of two large numbers."""
    prototxt = text(
        layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 1 bias_term: false }"), shape=(1, 2)
    )
    rough, fine = (model_of(prototxt, {"i": [np.array([pair], np.float32)]}) for pair in ((1000.2, -1000.1), (2, 1)))
    inputs = {"x": np.ones((1, 2), np.float32)}

    def told(model: caffe_fuse.Model, min_snr: Optional[float] = None) -> List[str]:
        found = caffe_fuse.verify(model, model, inputs, min_snr=min_snr)
        return [line for line in verify_report(found, Typed(())) if line.startswith("rough")]

    line = "rough      i in half precision: below 40 dB, or another top class; --min-snr 40 makes that an error"
    assert [line] == told(rough)
    assert [] == told(fine)
    assert [] == told(rough, min_snr=1.0)
