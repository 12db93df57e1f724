"""The rounding allowed to a net depends neither on luck nor on the type in which the weights are stored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import nets
import numpy as np
import pytest
from conftest import PROJECT
from nets import batch_norm, convolution, layer, scale, text

import caffe_fuse
from caffe_fuse.blobs.blob import ArrayBlob
from caffe_fuse.cli import process as cli
from caffe_fuse.judging import compare as comparison
from caffe_fuse.judging.noise import moved

SAMPLES = PROJECT / "sample_nets"


def model_of(prototxt: bytes, blobs: Dict[str, List[np.ndarray]]) -> caffe_fuse.Model:
    return nets.model(prototxt, nets.caffemodel(prototxt, blobs))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_each_number_goes_to_a_neighbour_in_its_type(dtype: type) -> None:
    numbers: np.ndarray = np.array([1, -1.5, 3e-3, 60000, *np.linspace(0.1, 9, 60)], dtype)
    net = model_of(text(scale(bottom="x")), nets.numbers(text(scale(bottom="x")))).net
    (only,) = net.layers
    stored = net.with_layers([only.rewritten(only.parameter, (ArrayBlob(numbers), only.blobs[1]))])
    results = [moved(stored, seed).layers[0].blobs[0].array() for seed in (1, 1, 2)]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    steps = (results[0].astype(np.float64) - numbers.astype(np.float64)) / np.abs(np.spacing(numbers).astype(float))
    assert {-1.0, 1.0} == set(steps.tolist())


def test_0_and_what_is_not_finite_stay() -> None:
    numbers = np.array([0, np.inf, -np.inf, np.nan], np.float32)
    net = model_of(text(scale(bottom="x")), {"s": [numbers, np.ones(4, np.float32)]}).net
    assert np.array_equal(numbers, moved(net, 1).layers[0].blobs[0].array(), equal_nan=True)


def test_blobs_of_the_same_numbers_move_each_in_its_own_way() -> None:
    prototxt = text(convolution(), convolution("d", "x", "d"))
    numbers = nets.numbers(prototxt)
    net = model_of(prototxt, dict.fromkeys("cd", numbers["c"])).net
    first, second = (each.blobs[0].array() for each in moved(net, 1).layers)
    assert not np.array_equal(first, second)


def test_shared_numbers_stay_shared() -> None:
    prototxt = text(convolution(), convolution("d", "x", "d"))
    net = model_of(prototxt, nets.numbers(prototxt)).net
    first, second = net.layers
    shared = net.with_layers([first, second.rewritten(second.parameter, first.blobs)])
    one, other = moved(shared, 1).layers
    assert one.blobs == other.blobs
    assert one.blobs != first.blobs


def lucky() -> List[caffe_fuse.Model]:
    """Returns nets in which 1.5 x nearly cancels; the first has no error at all for x = 1, 2, 4 and 8."""
    power = layer("p", "Power", "s", "p", "power_param { scale: 1 shift: -1.5 }")
    prototxt = text(scale(bottom="x"), power, shape=(1, 4))
    scales = np.array([1.5, 0.75, 0.375, 0.1875], np.float32)
    shift = np.full(4, 2.0**-14, np.float32)
    return [model_of(prototxt, {"s": [each, shift]}) for each in (scales, np.nextafter(scales, np.float32(9)))]


INPUT = {"x": np.array([[1, 2, 4, 8]], np.float32)}


def test_an_original_that_is_exact_by_luck_asks_no_exactness(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = lucky()
    found = caffe_fuse.verify(first, second, INPUT, half_policy="off")
    assert found.equal
    monkeypatch.setattr(comparison, "MOVED", ())
    assert "p" == getattr(caffe_fuse.verify(first, second, INPUT, half_policy="off").first_difference, "blob", None)


def test_a_weight_that_is_off_by_more_than_rounding_is_found_where_the_original_is_exact() -> None:
    first, _ = lucky()
    (only, _) = first.net.layers
    wrong = [blob.array() * np.float32(1 + 2.0**-18) for blob in only.blobs[:1]]
    second = model_of(first.document.source, {"s": [*wrong, only.blobs[1].array()]})
    assert not caffe_fuse.verify(first, second, INPUT, half_policy="off").equal


NET = text(convolution(), batch_norm(), scale(), layer("r", "ReLU", "s", "s"), convolution("d", "s", "d"))


def written(folder: Path, name: str, prototxt: bytes, blobs: Dict[str, List[np.ndarray]]) -> List[str]:
    (folder / f"{name}.prototxt").write_bytes(prototxt)
    (folder / f"{name}.caffemodel").write_bytes(nets.caffemodel(prototxt, blobs))
    return [str(folder / f"{name}{ending}") for ending in (".prototxt", ".caffemodel")]


def folded(pair: List[str], prefix: Path, *options: str) -> List[str]:
    assert 0 == cli.main(["fuse", *pair, "-o", str(prefix), "--blob-type", "float16", "-q", *options])
    return [f"{prefix}.prototxt", f"{prefix}.caffemodel"]


@pytest.mark.parametrize("seed", range(5))
def test_a_fold_that_is_stored_in_halves_is_the_same_net(tmp_path: Path, seed: int) -> None:
    before = written(tmp_path, "a", NET, nets.numbers(NET, seed))
    after = folded(before, tmp_path / "b", "--verify", "--seed", str(seed))
    assert 0 == cli.main(["verify", *before, *after, "-q", "--seed", str(seed)])
    assert 1 == cli.main(["verify", *before, *after, "-q", "--tolerance", "1e-6"])
    assert 0 == cli.main(["verify", *before, *after, "-q", "--tolerance", "1e-2"])


def test_fuse_compares_the_numbers_as_they_are_stored() -> None:
    model = model_of(NET, nets.numbers(NET))
    single, half = (caffe_fuse.fuse(model, blob_type=name).verified().verification for name in ("float32", "float16"))
    assert single is not None
    assert half is not None
    assert 100 * single.rows[-1].max_abs < half.rows[-1].max_abs


def test_a_real_net_in_halves_is_the_same_net(tmp_path: Path) -> None:
    before = [str(SAMPLES / f"resnet20_cifar{ending}") for ending in (".prototxt", ".caffemodel")]
    after = folded(before, tmp_path / "b", "--rescale", "never", "--verify")
    assert 0 == cli.main(["verify", *before, *after, "-q"])


@pytest.mark.parametrize(
    "wrong",
    [b"batch_norm_param { eps: 0.05 }", b"batch_norm_param { eps: 0.02 }"],
)
def test_a_wrong_fold_in_halves_is_found(tmp_path: Path, wrong: bytes) -> None:
    blobs = nets.numbers(NET)
    before = written(tmp_path, "a", NET, blobs)
    other = written(tmp_path, "c", NET.replace(b'top: "b" }', b'top: "b" %s }' % wrong), blobs)
    after = folded(other, tmp_path / "b")
    assert 1 == cli.main(["verify", *before, *after, "-q"])


def test_the_script_that_counts_false_alarms_runs() -> None:
    pair = [str(SAMPLES / f"digits_resnet{ending}") for ending in (".prototxt", ".caffemodel")]
    command = [sys.executable, str(PROJECT / "benchmarks" / "false_alarms.py"), *pair, "--seeds", "2"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    assert "0 alarms in 2 runs of 1 net" == done.stdout.splitlines()[-1]


def test_a_difference_says_how_many_times_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blobs = nets.numbers(NET)
    pairs = [*written(tmp_path, "a", NET, blobs)]
    pairs += written(tmp_path, "c", NET, {**blobs, "d": [blobs["d"][0] * np.float32(1.5), blobs["d"][1]]})
    report = tmp_path / "r.json"
    assert 1 == cli.main(["verify", *pairs, "--report", str(report), "--tolerance", "0.01"])
    row = json.loads(report.read_text())["verification"]["blobs"][-1]
    times = row["max_abs"] / row["bound"]
    assert 10 < times < 100
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("not safe"))
    assert line.endswith(
        f"blob d of layer d: by {row['max_abs']:.3g} where {row['bound']:.3g} is allowed, {times:,.4g} times as much"
    )
    assert 0.01 == json.loads(report.read_text())["verification"]["tolerance"]


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf"])
def test_a_tolerance_that_is_none_is_an_error(
    tmp_path: Path, tolerance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = written(tmp_path, "a", NET, nets.numbers(NET))
    assert 2 == cli.main(["verify", *pair, *pair, f"--tolerance={tolerance}"])
    assert "is not valid; give a share of the largest magnitude, such as 1e-3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("phase: TRAIN", ["--phase", "TRAIN"]),
        ("min_level: 2", ["--level", "2"]),
        ('stage: "late"', ["--stage", "late"]),
    ],
)
def test_both_nets_are_read_in_the_state_that_is_given(tmp_path: Path, rule: str, options: List[str]) -> None:
    extra = layer("o", "Power", "d", "o", f"include {{ {rule} }} power_param {{ scale: 2 }}")
    prototxt = NET + f"{extra}\n".encode()
    if "TRAIN" in rule:
        prototxt = prototxt.replace(b'top: "b" }', b'top: "b" batch_norm_param { use_global_stats: true } }')
    pair = written(tmp_path, "a", prototxt, nets.numbers(NET))
    for given, names in ((options, "o"), ([], "d")):
        report = tmp_path / "r.json"
        assert 0 == cli.main(["verify", *pair, *pair, "-q", "--report", str(report), *given])
        assert names == json.loads(report.read_text())["verification"]["blobs"][-1]["blob"]


def test_the_dialect_counts_for_both_nets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = written(tmp_path, "a", NET, nets.numbers(NET))
    assert 0 == cli.main(["verify", *pair, *pair, "-q", "--bn-dialect", "bvlc"])
    assert 2 == cli.main(["verify", *pair, *pair, "-q", "--bn-dialect", "odd"])
    assert "odd" in capsys.readouterr().err
