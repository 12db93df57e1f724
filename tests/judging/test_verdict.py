"""The verdict: what makes a result unsafe, the wording, and what to do next."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, List, Tuple

import nets
import numpy as np
import pytest
import reference
import truth
from nets import batch_norm, convolution, layer, scale, text
from old_forms import as_v1, as_v1_weights

import caffe_fuse
from caffe_fuse.blobs.blob import ArrayBlob
from caffe_fuse.cli import process as cli
from caffe_fuse.half import report as half_report
from caffe_fuse.half.measures import Measures
from caffe_fuse.half.targets import TARGETS
from caffe_fuse.judging.answers import HalfAnswer
from caffe_fuse.judging.problems import (
    ALWAYS,
    BATCH_NORM,
    DIFFERENT,
    REFUSED,
    Problem,
    answering,
    flushed_in,
    sentence,
)

FACTOR = np.ones(1, np.float32)
SATURATING = [name for name, target in TARGETS.items() if target.policy.overflow == "saturate"]
POLICIES = ["ieee", "flush", "truncate", "saturate", *TARGETS]


def written(tmp_path: Path, prototxt: bytes, weights: bytes) -> Tuple[str, str]:
    paths = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    for path, content in zip(paths, (prototxt, weights)):
        path.write_bytes(content)
    return str(paths[0]), str(paths[1])


def with_variance(variance: np.ndarray, settings: str = "") -> Tuple[bytes, bytes]:
    prototxt = text(convolution(), batch_norm(rest=settings), scale())
    blobs = nets.numbers(prototxt)
    blobs["b"] = [blobs["b"][0], variance.astype(np.float32), FACTOR]
    return prototxt, nets.caffemodel(prototxt, blobs)


def of_two_caffes() -> Tuple[bytes, bytes]:
    prototxt = text(convolution(), batch_norm(rest="batch_norm_param { scale_bias: true use_alpha_beta: true }"))
    return prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt))


def old_without_scale() -> Tuple[bytes, bytes]:
    prototxt = text(layer("r", "ReLU", "x", "r"), batch_norm(bottom="r"), scale())
    return as_v1(prototxt), as_v1_weights(nets.caffemodel(prototxt, nets.numbers(prototxt)))


def open_dialect() -> Tuple[bytes, bytes]:
    prototxt = text(convolution(), batch_norm())
    blobs = nets.numbers(prototxt)
    mean, variance, _ = blobs["b"]
    return prototxt, nets.caffemodel(prototxt, {**blobs, "b": [mean, variance, FACTOR * 2, variance, mean]})


BATCH = "batch_norm_param { use_global_stats: false }"
VARIANCES = np.linspace(0.5, 3, 6)
# Why a BatchNorm remains: the net, what is said of it, and what it says to do.
REMAINING = {
    "batch statistics": (with_variance(VARIANCES, BATCH), "use_global_stats is false", "--use-global-stats"),
    "a variance below 0": (with_variance(-VARIANCES), "its variance + eps is -0.49999", "name the dialect"),
    "no dialect fits": (of_two_caffes(), "no known dialect of BatchNorm fits it", "--allow-bn"),
    "two dialects fit": (open_dialect(), "can be read in 2 ways", "--bn-dialect NAME"),
    "an old form without Scale": (old_without_scale(), "the old form of this net has no Scale", "caffe-fuse upgrade "),
}


@pytest.mark.parametrize("reason", REMAINING)
def test_a_batch_norm_that_remains_is_never_done(
    reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, said, step = REMAINING[reason]
    paths, out = written(tmp_path, *model), str(tmp_path / "out")
    assert 1 == cli.main(["fuse", *paths, "-o", out])
    told = capsys.readouterr().out
    lines = told.splitlines()
    place = next(number for number, line in enumerate(lines) if said in line)
    assert lines[place + 1].startswith("    ")  # what to do about it
    assert "verdict    NOT BN-free: 1 BatchNorm layer remains; no model file was written\n" in told
    assert step in told[told.index("verdict") :]
    assert ["net.caffemodel", "net.prototxt"] == sorted(path.name for path in tmp_path.iterdir())
    assert 1 == cli.main(["fuse", *paths, "-o", out, "--force"])
    assert b"batch_norm" in (tmp_path / "out.prototxt").read_bytes().replace(b"BatchNorm", b"batch_norm").lower()
    assert 0 == cli.main(["fuse", *paths, "-o", out, "--allow-bn"])


def test_a_remedy_stands_on_the_line_behind_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    norms = [batch_norm(f"b{n}", f"c{n}", f"b{n}", BATCH) for n in range(3)]
    convolutions = [convolution(f"c{n}", "x", f"c{n}") for n in range(3)]
    prototxt = text(*[each for pair in zip(convolutions, norms) for each in pair])
    paths = written(tmp_path, prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))
    assert 1 == cli.main(["fuse", *paths, "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    place = next(number for number, line in enumerate(lines) if "batch statistics" in line)
    assert "BatchNorm b0 and 2 more: batch statistics: use_global_stats is false" in lines[place]
    assert "    give the deploy net, or use the stored statistics: --use-global-stats" == lines[place + 1]
    assert not any("batch statistics" in line for line in lines[place + 1 :])


def test_ranges_of_batch_statistics_tell_nothing_of_stored_ones() -> None:
    model = nets.model(*with_variance(VARIANCES, BATCH))
    ranges = caffe_fuse.calibrate(model, [{"x": INPUT}])
    with pytest.raises(caffe_fuse.InputError, match="recorded with batch statistics"):
        caffe_fuse.fuse(model, use_global_stats=True, ranges=ranges)
    assert caffe_fuse.fuse(model, use_global_stats=True, ranges=ranges, keep=["b"], allow_bn=True).safe


def test_stored_statistics_are_what_caffe_takes_when_it_is_told_to(tmp_path: Path) -> None:
    """The same net with use_global_stats: true, by the float64 judge."""
    prototxt, weights = with_variance(VARIANCES, BATCH)
    stored = prototxt.replace(b"use_global_stats: false", b"use_global_stats: true")
    judged = reference.run(stored, weights, {"x": INPUT})
    fused = caffe_fuse.fuse(nets.model(prototxt, weights), use_global_stats=True)
    assert fused.safe
    found = caffe_fuse.run(fused.model, {"x": INPUT}, precision="float64")["s"]
    np.testing.assert_allclose(found, judged["s"], rtol=0, atol=2.0**-21 * np.abs(judged["s"]).max())


INPUT = nets.spread((2, 4, 5, 6), 3)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_number_far_beyond_the_largest_half_is_not_safe_on_any_device(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = written(tmp_path, *with_variance(VARIANCES * 1e6))
    assert 1 == cli.main(["check", *paths, "--half-policy", policy, "--report", str(tmp_path / "r.json")])
    told = capsys.readouterr().out
    clips = policy in ("saturate", *SATURATING)
    assert clips == (f"to which {policy} clips (first: " in told)
    assert clips != ("not finite in half precision" in told)
    # Without the report, over which the next command would write its own.
    assert told.splitlines()[-1].endswith(f": caffe-fuse fuse {paths[0]} {paths[1]} --half-policy {policy}")
    report = json.loads((tmp_path / "r.json").read_text())
    assert (1, 1, 1) == (report["status"], len(report["problems"]), len(report["next"]))
    assert 0 == cli.main(["fuse", *paths, "--half-policy", policy, "--dry-run", "-q"])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("value", "status"), [(65504.0, 0), (65519.0, 0), (65520.0, 1), (65535.0, 1), (1e30, 1)])
def test_clipping_is_safe_only_as_far_as_it_is_rounding(policy: str, value: float, status: int, tmp_path: Path) -> None:
    prototxt = text(scale("s", "x", "s"))
    blobs = [np.array([1, 2, 3, value], np.float32), np.array([1, 2, 3, 4], np.float32)]
    paths = written(tmp_path, prototxt, nets.caffemodel(prototxt, {"s": blobs}))
    assert status == cli.main(["check", *paths, "--half-policy", policy, "-q"])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_a_problem_of_the_weights(
    wrong: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prototxt = text(convolution())
    blobs = nets.numbers(prototxt)
    blobs["c"][0].flat[7] = wrong
    paths = written(tmp_path, prototxt, nets.caffemodel(prototxt, blobs))
    for command in (["check"], ["fuse", "--dry-run"]):
        assert 1 == cli.main([command[0], *paths, *command[1:]])
        told = capsys.readouterr().out
        assert "not safe   1 value in 1 blob is NaN or infinite (first: layer c, blob 0)" in told
        assert "next       the weights are NaN or infinite in float32 already" in told


def test_an_answer_without_a_ratio_is_below_every_one_that_is_asked_for() -> None:
    answer = HalfAnswer("p", np.nan, None, 0, (1.0,))
    assert ["an SNR of nan dB"] == re.findall("an SNR of nan dB", "".join(map(str, answering([answer], 40, ALWAYS))))
    assert [] == answering([answer], None, ALWAYS)


def test_numbers_that_become_0_count_as_flushed() -> None:
    numbers = np.array([1e-9, 1e-6, 1, 0], np.float32)
    report = half_report.analyse([("c", 0, ArrayBlob(numbers), None)], Measures())
    assert 2 == flushed_in(report)


def test_the_verdict_speaks_of_half_precision_only_where_that_is_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prototxt = text(layer("r", "ReLU", "x", "r"), scale(bottom="r"))
    paths = written(tmp_path, prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))
    for more in ([], ["--half-policy", "off"]):
        assert 1 == cli.main(["fuse", *paths, "--dry-run", "--strict=refused", *more])
        told = capsys.readouterr().out
        assert "verdict    NOT all folded; no model file was written\n" in told
        assert told.endswith("next       accept the refusals: omit refused from --strict\n")


def test_a_verdict_names_each_kind_of_reason_once() -> None:
    problems = [Problem("a", kind=kind) for kind in ("", REFUSED, DIFFERENT, BATCH_NORM, "")]
    first, *words = sentence(problems, True, remaining=2).split(", and ")
    assert "NOT BN-free: 2 BatchNorm layers remain" == first
    assert ["NOT the same net", "NOT all folded", "NOT safe in half precision"] == words
    assert "NOT safe in half precision" == sentence(problems[:1], True)


def test_numbers_that_flush_name_what_lifts_them(capsys: pytest.CaptureFixture[str]) -> None:
    folder = truth.load("half-variance-overflow")
    paths = (str(folder.prototxt_path), str(folder.weights_path))
    assert 1 == cli.main(["fuse", *paths, "--strict=flush", "--dry-run"])
    assert "next       --rescale always would not help" in capsys.readouterr().out
    assert 1 == cli.main(["fuse", *paths, "--strict=flush", "--dry-run", "--rescale", "always"])
    assert "next       --rescale always has moved all that powers of two can" in capsys.readouterr().out


def test_numbers_that_powers_of_two_lift_name_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All weights of a layer between two others are small, but not small enough to need a repair."""
    prototxt = text(convolution(), convolution("d", "c", "d", settings="pad: 1"))
    blobs = nets.numbers(prototxt)
    blobs["c"] = [blob * np.float32(2**-13) for blob in blobs["c"]]
    paths = written(tmp_path, prototxt, nets.caffemodel(prototxt, blobs))
    assert 1 == cli.main(["fuse", *paths, "--strict=flush", "--dry-run"])
    options = "--strict=flush --dry-run --rescale always"
    before = capsys.readouterr().out
    assert f": caffe-fuse fuse {paths[0]} {paths[1]} {options}\n" in before
    cli.main(["fuse", *paths, *options.split()])
    counts = [re.findall(r"(\d+) values? subnormal or zero", out) for out in (before, capsys.readouterr().out)]
    assert int((counts[1] or ["0"])[0]) < int(counts[0][0])


def test_more_numbers_that_become_0_are_told_with_the_harm_they_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prototxt = text(convolution(), batch_norm(), scale())
    blobs = nets.numbers(prototxt)
    blobs["s"][0][:] = [1e-9, 1e-4, 1, 1, 1, 1]
    blobs["s"][1][0] = 0
    blobs["b"][0][0] = blobs["c"][1][0] = 0
    paths = written(tmp_path, prototxt, nets.caffemodel(prototxt, blobs))
    options = ["--dry-run", "--rescale", "never", "--report", str(tmp_path / "r.json")]
    cli.main(["fuse", *paths, *options])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("flushed")]
    flushed = json.loads((tmp_path / "r.json").read_text())["half"]["flushed"]
    assert flushed["before"] < 36 <= flushed["after"]  # all of the first channel
    assert 1 <= flushed["lost_channels"]
    counts = f"{flushed['after']} values to 0, {flushed['before']} before the fold"
    (line,) = lines
    assert f"{counts}; it matters: {flushed['lost_channels']} channel" in line


class Words(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: List[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize("name", truth.names("half-*"))
def test_terminal_json_and_page_count_the_same(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = truth.load(name)
    report, page = tmp_path / "r.json", tmp_path / "r.html"
    command = ["fuse", str(folder.prototxt_path), str(folder.weights_path), "--dry-run", "--rescale", "never"]
    cli.main([*command, "--report", str(report), "--html", str(page)])
    told, shown = capsys.readouterr().out, Words(page.read_text()).text
    found: Dict[str, Any] = json.loads(report.read_text())
    counts = found["half"]["channels"]["after"]
    channels = re.search("^channels   (.*)$", told, re.M)
    line = "" if channels is None else channels.group(1)
    for state, words in (("overflow", "with overflow"), ("lost", "below 40 dB")):
        assert counts[state] == sum(int(number) for number in re.findall(rf"(\d+) {words}", line))
    assert f"{counts['overflow'] + counts['lost']:,} channels overflow or keep less than 40 dB" in shown
    for moment in ("before", "after"):
        kinds = ("overflow", "subnormal", "underflow")
        sums = {kind: sum(row[kind] for row in found["half"][moment]) for kind in kinds}
        (half,) = re.findall(f"^half {moment} +(.*), of", told, re.M)
        assert {kind: count for kind, count in sums.items() if count} == {
            kind: int(number.replace(",", "")) for number, kind in re.findall(r"(\d[\d,]*) (\w+)", half) if kind in sums
        }
    assert found["verdict"].lower() in shown.lower()


def test_channels_that_are_lost_are_the_ones_that_are_named(tmp_path: Path) -> None:
    """In a BatchNorm that stays, each element is a channel."""
    variance = VARIANCES.copy()
    variance[[2, 5]] = 7e5, 9e5
    paths = written(tmp_path, *with_variance(variance, BATCH))
    cli.main(["fuse", *paths, "--dry-run", "-q", "--allow-bn", "--report", str(tmp_path / "r.json")])
    report = json.loads((tmp_path / "r.json").read_text())
    lost = [(each["layer"], each["blob"], each["channels"]) for each in report["unrepaired"]]
    assert [("b", 1, [2, 5])] == lost
    (row,) = [row for row in report["half"]["after"] if (row["layer"], row["blob"]) == ("b", 1)]
    assert [2, 5] == [channel["channel"] for channel in row["channels"] if channel["state"] == "overflow"]


def test_the_channels_of_a_real_training_net(shared: Path, tmp_path: Path) -> None:
    folder = shared / "models" / "person-detection-0022"
    paths = [str(folder / "train.prototxt"), str(next(folder.glob("*.caffemodel")))]
    cli.main(["fuse", *paths, "--dry-run", "-q", "--report", str(tmp_path / "r.json")])
    report = json.loads((tmp_path / "r.json").read_text())
    rows = {(row["layer"], row["blob"]): row for row in report["half"]["after"]}
    for each in report["unrepaired"]:
        told = rows[each["layer"], each["blob"]]["channels"]
        assert set(each["channels"]) <= {channel["channel"] for channel in told}


def test_a_command_that_comes_next_works_as_it_is_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the options that were given: without the dialect this net is refused, without -o it is written elsewhere."""
    prototxt, weights = open_dialect()
    written(tmp_path, prototxt, weights)
    monkeypatch.chdir(tmp_path)
    words = ["net.prototxt", "net.caffemodel", "--bn-dialect", "nvidia", "--phase", "TRAIN", "-o", "sub/out"]
    (tmp_path / "sub").mkdir()
    assert 1 == cli.main(["fuse", *words])
    steps = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next ")]
    command = shlex.split(steps[-1].split(": ", 1)[1])
    assert ["caffe-fuse", "fuse", *words, "--allow-bn"] == command
    assert 0 == cli.main(command[1:])
    assert (tmp_path / "sub" / "out.prototxt").exists()
