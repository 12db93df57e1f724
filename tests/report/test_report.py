"""Reports: the JSON contract field by field, the terminal text and the new prototxt against tests/golden.

`pytest --update-golden` rewrites tests/golden; review the difference.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import nets
import numpy as np
import pytest
import truth
from conftest import TESTS

import caffe_fuse
from caffe_fuse import passes
from caffe_fuse.cli import process as cli
from caffe_fuse.report.json_report import to_json
from caffe_fuse.report.show import plan_report
from caffe_fuse.report.terminal import fold_report
from caffe_fuse.wording import Typed

GOLDEN = TESTS / "golden"
Fuse = Callable[..., Tuple[int, str, Dict[str, Any]]]
Check = Callable[[str, str], None]


@pytest.fixture
def fuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fuse:
    """Runs `fuse net.prototxt net.caffemodel` on a copy of a net; returns its status, its text, its JSON report."""

    def call(name: str, *options: str) -> Tuple[int, str, Dict[str, Any]]:
        for path in (truth.load(name).prototxt_path, truth.load(name).weights_path):
            shutil.copy(path, tmp_path / path.name)
        monkeypatch.chdir(tmp_path)
        status = cli.main(["fuse", "net.prototxt", "net.caffemodel", "-o", "new", "--report", "r.json", *options])
        return status, capsys.readouterr().out, read_strictly(tmp_path / "r.json")

    return call


def read_strictly(path: Path) -> Dict[str, Any]:
    """Parses JSON, which has no NaN and no Infinity; Python's reader would accept them."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    found: Dict[str, Any] = json.loads(path.read_text(encoding="ascii"), parse_constant=refuse)
    return found


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Check:
    def check(name: str, actual: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            GOLDEN.mkdir(exist_ok=True)
            path.write_bytes(actual.encode())
        assert path.read_bytes().decode() == actual

    return check


# --- the JSON contract; that all fields are there is compared with schema.json, see conftest.py ---


def test_a_report_names_the_version_that_made_it(fuse: Fuse) -> None:
    _, _, report = fuse("keep-preact-resnet")
    assert {"name": "caffe_fuse", "version": caffe_fuse.__version__} == report["tool"]


def test_files_have_their_path_as_given_their_sha256_and_their_size(fuse: Fuse, tmp_path: Path) -> None:
    _, _, report = fuse("keep-preact-resnet")
    names = {"inputs": ["net.prototxt", "net.caffemodel"], "outputs": ["new.caffemodel", "new.prototxt"]}
    for side, expected in names.items():
        found = [
            {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in ((name, (tmp_path / name).read_bytes()) for name in expected)
        ]
        assert found == report[side]


def test_folded_names_the_layer_what_it_absorbed_and_its_top(fuse: Fuse) -> None:
    _, _, report = fuse("random-00017")
    absorbed = [
        {"layer": "s3", "type": "Scale"},
        {"layer": "b4", "type": "BatchNorm"},
        {"layer": "s5", "type": "Scale"},
    ]
    assert [{"layer": "c2", "type": "Convolution", "absorbed": absorbed, "top": "s5"}] == report["folded"]


def test_converted_names_the_layer_its_types_and_the_reason(fuse: Fuse) -> None:
    _, _, report = fuse("keep-bn-after-eltwise", "--folds", "direct")
    expected = {
        "layer": "n",
        "from": "BatchNorm",
        "to": "Scale",
        "absorbed": [{"layer": "s", "type": "Scale"}],
        "top": "n",
        "reason": "it reads the output of Eltwise sum, which cannot absorb it",
    }
    assert [expected] == report["converted"]


def test_refused_names_the_layer_the_reason_and_the_line(fuse: Fuse) -> None:
    _, _, report = fuse("keep-batch-stats")
    lines = truth.load("keep-batch-stats").prototxt.decode().splitlines()
    first, second = report["refused"]
    reason = "batch statistics: use_global_stats is false, so it depends on the batch"
    assert {"layer": "n", "type": "BatchNorm", "rule": "affine", "reason": reason, "line": 15} == {
        name: first[name] for name in first if name != "remedy"
    }
    words = "net.prototxt net.caffemodel -o new --report r.json --use-global-stats"
    assert first["remedy"].endswith(f": caffe-fuse fuse {words}")
    assert [{"layer": "n", "type": "BatchNorm", "line": 15}] == report["batch_norms"]
    assert ("s", "Scale", 22) == (second["layer"], second["type"], second["line"])
    assert ['  name: "n"', '  name: "s"'] == [lines[each["line"]] for each in report["refused"]]


def test_vanished_blobs_name_the_blob_that_holds_their_value_or_null(fuse: Fuse) -> None:
    assert {"c2": None, "b4": None} == fuse("random-00017")[2]["vanished_blobs"]
    chain = (
        nets.convolution(),
        nets.batch_norm(),
        nets.scale(rest=""),
        'layer { name: "r" type: "ReLU" bottom: "s" top: "r" }',
    )
    prototxt = nets.text(*chain)
    blobs = {**nets.numbers(prototxt), "s": [np.ones(6, np.float32)]}
    report = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, blobs))).report
    assert {"c": None, "b": "s"} == dict(report.vanished_blobs)


def test_dropped_names_layers_of_another_phase_that_went_with_a_fold(fuse: Fuse) -> None:
    assert [{"layer": "b", "type": "BatchNorm"}] == fuse("fold-train-and-test-bn")[2]["dropped"]


def test_half_rows_tell_what_numpy_tells(fuse: Fuse) -> None:
    _, _, report = fuse("half-weights-one-channel", "--force")
    model = caffe_fuse.load("new.prototxt", "new.caffemodel")
    blobs = {
        (layer.name, number): blob.array() for layer in model.net.layers for number, blob in enumerate(layer.blobs)
    }
    assert list(blobs) == [(row["layer"], row["blob"]) for row in report["half"]["after"]]
    for row in report["half"]["after"]:
        values = blobs[row["layer"], row["blob"]].reshape(-1)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        sizes = np.abs(values)
        assert float(sizes.max()) == row["max_abs"]
        assert float(sizes[sizes > 0].min()) == row["min_nonzero"]
        assert np.isinf(half).sum() == row["overflow"]
        assert ((half == 0) & (values != 0)).sum() == row["underflow"]
        assert ((half != 0) & (np.abs(half) < 2.0**-14)).sum() == row["subnormal"]
        worst = row["worst"]
        assert worst is None or float(values[worst["index"]]) == worst["value"]


def test_half_rows_have_margin_and_ratio(fuse: Fuse) -> None:
    _, _, report = fuse("half-weights-one-channel", "--force")
    model = caffe_fuse.load("new.prototxt", "new.caffemodel")
    blobs = [blob.array().astype(np.float64) for layer in model.net.layers for blob in layer.blobs]
    for row, values in zip(report["half"]["after"], blobs):
        error = values.astype(np.float16).astype(np.float64) - values
        assert pytest.approx(10 * np.log10((values**2).sum() / (error**2).sum())) == row["snr"]
        assert np.abs(values).max() * 2.0 ** row["margin"] <= 65504 < np.abs(values).max() * 2.0 ** (row["margin"] + 1)
        assert (values == 0).sum() == row["zeros"]


def test_channels_tell_what_half_loses_and_why(fuse: Fuse) -> None:
    _, _, report = fuse("half-weights-one-channel", "--dry-run", "--rescale", "never")
    channels = {
        (row["layer"], row["blob"], each["channel"]): each
        for row in report["half"]["after"]
        for each in row["channels"]
    }
    found = channels["conv1", 0, 1]
    assert ("overflow", 23, "-inf", "bn1") == (found["state"], found["overflow"], found["snr"], found["batch_norm"])


def test_a_worst_number_names_its_channel(fuse: Fuse) -> None:
    _, _, report = fuse("half-weights-one-channel", "--dry-run", "--rescale", "never")
    worst = {(row["layer"], row["blob"]): row["worst"] for row in report["half"]["after"]}
    assert {"index": 45, "channel": 45 // (3 * 3 * 3)} == {key: worst["conv1", 0][key] for key in ("index", "channel")}
    assert (1, 1) == (worst["conv1", 1]["index"], worst["conv1", 1]["channel"])


def test_an_unsafe_result_has_its_problems_and_status_one(fuse: Fuse) -> None:
    status, text, report = fuse("half-weights-one-channel", "--rescale", "never")
    assert (1, 1) == (status, report["status"])
    assert [] == report["outputs"]
    (problem,) = report["problems"]
    assert f"not safe   {problem}" in text.splitlines()


def test_what_was_rescaled_has_its_exponents(fuse: Fuse) -> None:
    status, text, report = fuse("half-weights-one-channel")
    assert 0 == status
    ((name, exponents),) = [(row["blob"], row["channel_exponents"]) for row in report["rescaled"]]
    assert ("conv1", [1, 3]) == (name, np.flatnonzero(exponents).tolist())
    assert [] == report["unrepaired"]
    assert "rescaled   2 channels of 1 blob, by powers of two" in text.splitlines()


@pytest.mark.parametrize("kind", ["overflow", "underflow", "one-channel", "residual"])
def test_a_net_that_half_precision_ruins_is_repaired_and_both_ratios_are_printed(fuse: Fuse, kind: str) -> None:
    status, text, report = fuse(f"half-weights-{kind}", "--verify")
    assert 0 == status
    assert report["rescaled"]
    assert "verdict    safe: every value rounds to an fp16 value near it" in text.splitlines()
    told = [re.search(f"^in half    {word} +conv[23]: (.*?);", text, re.M) for word in ("before", "folded", "repaired")]
    answers = [answer.group(1) for answer in told if answer is not None]
    assert all(re.fullmatch("[0-9]+ values not finite|SNR [0-9.]+ dB, off by [0-9.e+-]+", answer) for answer in answers)
    halves = report["verification"]["half"]
    before, folded, repaired = (float(halves[moment][0]["snr"]) for moment in ("before", "unrepaired", "after"))
    assert max(before, folded) < 40 < 55 < repaired
    assert answers[2].startswith(f"SNR {repaired:.1f} dB, ")


def test_without_a_repair_there_are_two_answers_in_half(fuse: Fuse) -> None:
    _, text, report = fuse("half-variance-overflow", "--verify")
    assert [] == report["verification"]["half"]["unrepaired"]
    assert ["before", "folded"] == re.findall("^in half    (.*?) conv1", text, re.M)


def test_what_cannot_be_repaired_has_its_reason(fuse: Fuse) -> None:
    status, text, report = fuse("half-weights-last-layer")
    assert 1 == status
    expected = {"layer": "conv2", "channels": [0, 1, 2, 3], "overflow": True, "reason": "conv2 is an output of the net"}
    assert [{**expected, "blob": blob} for blob in (0, 1, "conv2")] == report["unrepaired"]
    assert "unrepaired 3 blobs" in text.splitlines()


def test_a_policy_that_is_off_leaves_the_half_rows_out(fuse: Fuse) -> None:
    status, _, report = fuse("half-weights-one-channel", "--half-policy", "off")
    assert 0 == status
    half = report["half"]
    assert ("off", [], [], None) == (half["policy"], half["before"], half["after"], half["flushed"])


def test_numbers_that_json_has_no_word_for_are_strings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = np.array([1, np.nan, -np.inf, 70000], np.float32)
    prototxt = (
        b'input: "x" input_shape { dim: 1 dim: 1 dim: 2 dim: 2 }\n'
        b'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        b"convolution_param { num_output: 4 kernel_size: 1 } }\n"
    )
    blobs = {"c": [bad.reshape(4, 1, 1, 1), np.full(4, np.inf, np.float32)]}
    (tmp_path / "n.prototxt").write_bytes(prototxt)
    (tmp_path / "n.caffemodel").write_bytes(nets.caffemodel(prototxt, blobs))
    files = [str(tmp_path / name) for name in ("n.prototxt", "n.caffemodel")]
    assert 1 == cli.main(["check", *files, "--report", str(tmp_path / "r.json")])
    assert 1 == cli.main(["fuse", *files, "--dry-run", "--report", str(tmp_path / "f.json")])
    capsys.readouterr()
    weights, bias = read_strictly(tmp_path / "r.json")["half"]["before"]
    assert (1, 1, 1, 70000.0) == (weights["nan"], weights["inf"], weights["overflow"], weights["max_abs"])
    assert ("nan", "inf") == (weights["worst"]["value"], bias["worst"]["value"])
    assert [weights, bias] == read_strictly(tmp_path / "f.json")["half"]["after"]


def test_check_reports_the_same_half_rows_as_fuse_before_the_fold(fuse: Fuse, tmp_path: Path) -> None:
    _, _, report = fuse("keep-preact-resnet")
    assert 0 == cli.main(["check", "net.prototxt", "net.caffemodel", "--report", "c.json", "-q"])
    checked = read_strictly(tmp_path / "c.json")
    fields = {"schema", "tool", "inputs", "half", "predicted_activations", "warnings", "status"}
    assert fields | {"problems", "verdict", "next", "target"} == set(checked)
    assert report["half"]["before"] == checked["half"]["before"]
    assert report["predicted_activations"]["before"] == checked["predicted_activations"]["before"]
    assert report["inputs"] == checked["inputs"]


@pytest.mark.parametrize("name", truth.names("fold-*") + truth.names("keep-*") + truth.names("half-*"))
def test_every_report_is_json_and_the_same_each_time(fuse: Fuse, name: str) -> None:
    _, _, first = fuse(name, "--dry-run", "--half-policy", "ieee")
    _, _, second = fuse(name, "--dry-run", "--half-policy", "ieee")
    assert first == second


# --- a report that cannot be written ---


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("no/r.json", "does not exist"),
        ("folder", "this output is a folder"),
        ("pipe", "this output is not a regular file"),
        ("new.prototxt", "two outputs are the same file"),
        ("link", "two outputs are the same file"),
        ("net.prototxt", "this output is the input net.prototxt"),
    ],
)
def test_a_report_that_cannot_be_written_is_told_before_anything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], report: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (truth.load("fold-ip").prototxt_path, truth.load("fold-ip").weights_path):
        shutil.copy(path, path.name)
    os.mkfifo("pipe")
    os.mkdir("folder")
    os.symlink("new.caffemodel", "link")
    before = sorted(os.listdir())
    assert 2 == cli.main(["fuse", "net.prototxt", "net.caffemodel", "-o", "new", "--report", report])
    assert message in capsys.readouterr().err
    assert before == sorted(os.listdir())
    assert truth.load("fold-ip").prototxt == Path("net.prototxt").read_bytes()


def test_a_report_to_a_link_goes_where_the_link_points(fuse: Fuse, tmp_path: Path) -> None:
    (tmp_path / "r.json").symlink_to("elsewhere.json")
    _, _, report = fuse("fold-ip")
    assert (tmp_path / "r.json").is_symlink()
    assert report == read_strictly(tmp_path / "elsewhere.json")


# --- the plan ---


@pytest.mark.parametrize("name", [name for name in truth.names() if name != "format-v1"])
def test_the_plan_without_weights_is_what_is_done_with_them(name: str) -> None:
    """But for maxima, through which only scales above 0 can go: those of a plan are."""
    net = truth.load(name)
    folds = "direct" if re.search(rb"pool: MAX|operation: MAX|Pooling", net.prototxt) else "all"
    planned, done = (
        passes.run(model.net, folds=folds).rewrites
        for model in (caffe_fuse.load(net.prototxt_path), caffe_fuse.load(net.prototxt_path, net.weights_path))
    )
    assert _summary(done) == _summary(planned)


def _summary(rewrites: Tuple[passes.Rewrite, ...]) -> List[Tuple[str, List[str]]]:
    return [(rewrite.rule.name, [layer.name for layer in rewrite.before]) for rewrite in rewrites]


# --- golden files ---


@pytest.mark.parametrize("name", ["keep-preact-resnet", "keep-batch-stats", "half-weights-one-channel"])
def test_the_terminal_report_is_the_golden_one(fuse: Fuse, golden: Check, name: str) -> None:
    golden(f"{name}.txt", fuse(name, "-v")[1])


@pytest.mark.parametrize("name", ["keep-preact-resnet", "keep-siamese-shared"])
def test_the_plan_is_the_golden_one(golden: Check, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert 0 == cli.main(["show", str(truth.load(name).prototxt_path)])
    golden(f"{name}.show.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    "name",
    [
        "fold-conv-g2-nobias-apart",
        "fold-through-dropout",
        "fold-train-and-test-bn",
        "format-phases",
        "keep-preact-resnet",
        "keep-siamese-shared",
        "random-00017",
    ],
)
def test_the_new_prototxt_is_the_golden_one(fuse: Fuse, golden: Check, tmp_path: Path, name: str) -> None:
    fuse(name)
    golden(f"{name}.prototxt", (tmp_path / "new.prototxt").read_bytes().decode())


def test_a_long_list_is_cut_unless_all_is_asked_for() -> None:
    pairs = [
        f'layer {{ name: "r{n}" type: "ReLU" bottom: "x" top: "r{n}" }}' + nets.batch_norm(f"b{n}", f"r{n}", f"b{n}")
        for n in range(10)
    ]
    prototxt = nets.text(*pairs)
    report = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))).report
    reasons = [f"  b{n}: it reads the output of ReLU r{n}, which cannot absorb it" for n in range(10)]
    assert reasons == fold_report(report, (), True)[2:12]
    assert [*reasons[:8], "  ... and 2 more (-v lists them)"] == fold_report(report, (), False)[2:11]


def test_what_is_told_of_a_fork_grows_with_its_readers_not_with_their_square() -> None:
    sizes: List[List[int]] = []
    for count in (100, 200):
        norms = [nets.batch_norm(f"b{n:03}", "c", f"b{n:03}") for n in range(count)]
        prototxt = nets.text(nets.convolution(), *norms)
        model = nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))
        report = replace(caffe_fuse.fuse(model).report, typed=Typed(()))
        told = [
            to_json(report, []),
            *("\n".join(lines) for lines in (fold_report(report, (), True), plan_report(model))),
        ]
        sizes.append([len(each) for each in told])
    assert [] == [twice / once for once, twice in zip(*sizes) if twice > 2.1 * once]


def test_sizes_that_neither_the_net_nor_weights_tell_are_not_invented() -> None:
    layers = [nets.convolution(), nets.layer("l", "Mystery", "c", "l"), nets.batch_norm("b", "l", "b")]
    plan = plan_report(nets.model("\n".join(['input: "x"', *layers]).encode(), None))
    assert "c  Convolution  x -> c (?x6x?x?)  (6x?x3x3) (6)" == plan[0]
    assert plan[2].startswith("b  BatchNorm    l -> b (?)        (?) (?) (1)    becomes a Scale: ")


def test_names_that_the_terminal_has_no_letters_for_are_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    (tmp_path / "n.prototxt").write_text(
        'input: "x"\nlayer { name: "卷积" type: "ReLU" bottom: "x" top: "x" }\n', encoding="utf-8"
    )
    assert 0 == cli.main(["show", str(tmp_path / "n.prototxt")])
    assert b"\\u5377\\u79ef" in raw.getvalue()


def test_one_very_long_line_of_a_plan_does_not_make_the_others_long() -> None:
    names = [f"r{place}" for place in range(40)]
    layers = [nets.convolution(), nets.batch_norm(), *(nets.layer(name, "ReLU", "x", name) for name in names)]
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    total = f'layer {{ name: "sum" type: "Eltwise" {bottoms} top: "sum" }}'
    lines = plan_report(nets.model(nets.text(*layers, total), None))
    assert names[-1] in next(line for line in lines if line.startswith("sum "))
    assert lines[0].endswith("absorbs b")
    assert max(map(len, lines[:2])) < 120
