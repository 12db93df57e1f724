"""Ranges recorded on data: what is counted, the file, the command, and the commands that read it."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence

import h5py
import nets
import numpy as np
import pytest
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import caffe_fuse
from caffe_fuse import InputError
from caffe_fuse.cli import process as cli
from caffe_fuse.cli.images import Pixels
from caffe_fuse.cli.samples import open_samples
from caffe_fuse.ranges.calibrate import _PIECE, Calibration, Recorded, fingerprint, in_order, recorded

NET = nets.text(
    nets.convolution(),
    nets.batch_norm(),
    nets.scale(),
    nets.layer("r", "ReLU", "s", "s"),
    nets.layer("m", "Mystery", "s", "m"),
)
X = nets.spread((5, 4, 5, 6), 3)


@pytest.fixture(scope="module")
def model() -> caffe_fuse.Model:
    return nets.model(NET, nets.caffemodel(NET, nets.numbers(NET)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a current folder with the net and its samples."""
    (tmp_path / "n.prototxt").write_bytes(NET)
    (tmp_path / "n.caffemodel").write_bytes(nets.caffemodel(NET, nets.numbers(NET)))
    np.savez(tmp_path / "x.npz", x=X)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def batches(*arrays: np.ndarray) -> List[Dict[str, np.ndarray]]:
    return [{"x": array} for array in arrays]


def calibrated(*options: str, output: str = "r.json") -> Dict[str, Any]:
    assert 0 == cli.main(["calibrate", "n.prototxt", "n.caffemodel", "-o", output, *options])
    found: Dict[str, Any] = json.loads(Path(output).read_text())
    return found


# --- what is counted ---


SPECIAL = [0, -0.0, 1e-45, 2**-149, 2**-25, np.nextafter(np.float32(2**-25), np.float32(1)), 2**-24, 2**-14]
SPECIAL += [2**-14 - 2**-25, np.nextafter(np.float32(2**-14 - 2**-25), np.float32(0)), 65504, 65505, 65519.99, 65520]
SPECIAL += [65536, 3.4e38, np.inf, -np.inf, np.nan, 1, -1.5]


@given(st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(width=32)), min_size=1, max_size=40))
def test_property_numbers_are_of_the_kinds_that_numpys_halves_are(numbers: Sequence[float]) -> None:
    x = np.array(numbers, np.float32)
    recorded = Recorded()
    recorded.add(x)
    with np.errstate(over="ignore"):
        halves = np.abs(x.astype(np.float16)).astype(np.float64)
    magnitudes = np.abs(x).astype(np.float64)
    finite, nonzero = np.isfinite(x), np.isfinite(x) & (x != 0)
    expected = {
        "zeros": np.count_nonzero(x == 0),
        "underflow": np.count_nonzero(nonzero & (halves == 0)),
        "subnormal": np.count_nonzero(nonzero & (halves > 0) & (halves < 2**-14)),
        "clipped": np.count_nonzero(finite & (magnitudes > 65504) & np.isfinite(halves)),
        "overflow": np.count_nonzero(finite & np.isinf(halves)),
        "inf": np.count_nonzero(np.isinf(x)),
        "nan": np.count_nonzero(np.isnan(x)),
    }
    assert expected == recorded.kinds
    assert len(x) == recorded.count
    exponents = [max(int(np.frexp(m)[1]) - 1, -127) for m in magnitudes[nonzero]]
    assert {e: exponents.count(e) for e in exponents} == recorded.histogram


@given(arrays(np.float32, (3, 2, 4), elements=st.floats(width=32)))
def test_property_ranges_are_those_of_the_finite_numbers_of_each_channel(x: np.ndarray) -> None:
    recorded = Recorded()
    recorded.add(x[:1])
    recorded.add(x[1:])
    for channel in range(2):
        numbers = x[:, channel][np.isfinite(x[:, channel])]
        expected = (numbers.min(initial=np.inf), numbers.max(initial=-np.inf))
        assert expected == (recorded.range.lows[channel], recorded.range.highs[channel])


def test_numbers_are_counted_in_every_piece() -> None:
    x = np.ones((1, 1, _PIECE + 5), np.float32)
    x[..., _PIECE:] = 7e4
    recorded = Recorded()
    recorded.add(x)
    assert ({0: _PIECE, 16: 5}, 5) == (recorded.histogram, recorded.kinds["overflow"])


def test_values_that_do_not_agree_about_their_channels_have_one_range() -> None:
    recorded = Recorded()
    recorded.add(np.array([[1, 2]], np.float32))
    recorded.add(np.array([[1, 2, 9]], np.float32))
    assert ([1.0], [9.0], 5) == (recorded.range.lows.tolist(), recorded.range.highs.tolist(), recorded.count)


# --- calibration of a net ---


def test_every_value_that_can_be_computed_is_recorded(model: caffe_fuse.Model) -> None:
    found = caffe_fuse.calibrate(model, batches(X))
    assert [("", "x"), ("c", "c"), ("b", "b"), ("s", "s"), ("r", "s")] == list(found.values)
    blobs = caffe_fuse.run(model, {"x": X}, blobs=["c", "s"])
    for key, array in ((("c", "c"), blobs["c"]), (("r", "s"), blobs["s"])):
        recorded = found.values[key].range
        assert array.min((0, 2, 3)).tolist() == recorded.lows.tolist()
        assert array.max((0, 2, 3)).tolist() == recorded.highs.tolist()
    assert 5 == found.samples


def test_runs_merge_to_what_one_run_gives(model: caffe_fuse.Model) -> None:
    whole = caffe_fuse.calibrate(model, batches(X[:2], X[2:]))
    parts = [caffe_fuse.calibrate(model, batches(part)) for part in (X[:2], X[2:])]
    assert whole.to_json() == parts[0].merged(parts[1]).to_json()
    once, twice = (found.values["", "x"] for found in (caffe_fuse.calibrate(model, batches(X)), whole))
    assert (once.count, once.exponents(), once.kinds) == (twice.count, twice.exponents(), twice.kinds)


def test_what_is_written_is_read_again(model: caffe_fuse.Model, tmp_path: Path) -> None:
    strange = X.copy()
    strange[:, 1] = np.nan
    found = caffe_fuse.calibrate(model, batches(strange))
    (tmp_path / "r.json").write_text(found.to_json())
    again = caffe_fuse.read_ranges(tmp_path / "r.json")
    assert found.to_json() == again.to_json()
    assert "NaN" not in found.to_json()
    for key, one in found.values.items():
        assert [ends.tolist() for ends in one.range] == [ends.tolist() for ends in again.values[key].range]
    assert (np.inf, -np.inf) == tuple(ends[1] for ends in again.values["", "x"].range)


def test_of_two_layers_with_one_name_in_place_the_last_counts() -> None:
    net = nets.text(*(nets.layer("p", "Power", "x", "x", f"power_param {{ scale: {scale} }}") for scale in (2, 5)))
    found = caffe_fuse.calibrate(
        nets.model(net, nets.caffemodel(net, {})), batches(np.full((1, 4, 5, 6), 3, np.float32))
    )
    assert [30.0] * 4 == found.values["p", "x"].range.highs.tolist()


def test_a_single_number_has_one_channel() -> None:
    net = nets.text(nets.layer("r", "Reduction", "x", "r"), nets.layer("h", "HDF5Data", "", "y"))
    inputs = {"x": np.full((1, 4, 5, 6), 2, np.float32), "y": np.float32(7)}
    found = caffe_fuse.calibrate(nets.model(net, nets.caffemodel(net, {})), [inputs])
    highs = [found.values[key].range.highs.tolist() for key in (("r", "r"), ("h", "y"))]
    assert [[240.0], [7.0]] == highs


def test_no_samples_are_an_error(model: caffe_fuse.Model) -> None:
    with pytest.raises(InputError, match="there are no samples to calibrate with"):
        caffe_fuse.calibrate(model, [])


def test_a_missing_input_is_an_error(model: caffe_fuse.Model) -> None:
    with pytest.raises(InputError, match="a batch has no values for input x of the net"):
        caffe_fuse.calibrate(model, [{}])


def test_ranges_of_another_net_are_refused(model: caffe_fuse.Model) -> None:
    found = caffe_fuse.calibrate(model, batches(X))
    result = caffe_fuse.fuse(model, ranges=found)
    with pytest.raises(InputError, match="recorded with another net"):
        caffe_fuse.predict(result.model, ranges=found)
    other = caffe_fuse.calibrate(result.model, batches(X))
    with pytest.raises(InputError, match="of different nets"):
        found.merged(other)


def test_a_comment_is_no_other_net(model: caffe_fuse.Model) -> None:
    commented = nets.model(b"# new\n" + NET, nets.caffemodel(NET, nets.numbers(NET)))
    assert fingerprint(model.net) == fingerprint(commented.net)


# --- commands that read it ---


def test_recorded_ranges_go_before_predicted_ones(model: caffe_fuse.Model) -> None:
    found = caffe_fuse.calibrate(model, batches(X))
    activations = caffe_fuse.fuse(model, ranges=found, rescale="never").report.activations
    assert ["x", "c", "b", "s", "s"] == [row.blob for row in activations.before]
    rows = {(row.layer, row.blob): row for row in activations.after}
    assert {("", "x"), ("c", "s"), ("r", "s")} == set(rows)
    # What conv writes after the fold is what scale wrote before.
    assert found.values["s", "s"] is rows["c", "s"].recorded
    assert found.values["s", "s"].range is rows["c", "s"].range


def test_an_overflow_that_was_seen_makes_the_result_unsafe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("big.npz", x=X * 1e6)
    calibrated("--input", "x.npz")
    calibrated("--input", "big.npz", output="big.json")
    capsys.readouterr()
    files = ["n.prototxt", "n.caffemodel"]
    assert 0 == cli.main(["fuse", *files, "-q", "--ranges", "r.json", "--rescale", "never"])
    assert 1 == cli.main(
        ["fuse", *files, "--ranges", "r.json", "--ranges", "big.json", "--report", "f.json", "-o", "new"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("not safe   3 blobs with recorded values that are not finite") for line in lines)
    assert not Path("new.prototxt").exists()
    report = json.loads(Path("f.json").read_text())
    row = report["predicted_activations"]["after"][0]
    assert ("x", 2 * X.size) == (row["blob"], sum(row["recorded"]["histogram"].values()))
    assert 0 < row["recorded"]["overflow"]
    assert 1 == cli.main(["check", *files, "-q", "--ranges", "big.json"])
    assert 0 == cli.main(["check", *files, "-q", "--ranges", "r.json"])
    assert 0 == cli.main(["check", *files, "-q", "--ranges", "big.json", "--half-policy", "off"])


# --- the command ---


def test_the_command_writes_the_same_from_every_form_of_samples(folder: Path) -> None:
    np.save("x.npy", X)
    np.savez("alone.npz", X)
    with h5py.File("x.h5", "w") as file:
        file["x"] = X
    first = calibrated("--input", "x.npz")
    for name in ("x.npy", "alone.npz", "x.h5"):
        assert first == calibrated("--input", name)
    assert 5 == first["samples"]
    twice = calibrated("--input", "x.npz", "--input", "x.npy")
    assert (10, first["values"][0]["lows"]) == (twice["samples"], twice["values"][0]["lows"])


def test_the_files_are_the_same_each_time(folder: Path) -> None:
    calibrated("--input", "x.npz")
    before = Path("r.json").read_bytes()
    calibrated("--input", "x.npz", "-q")
    assert before == Path("r.json").read_bytes()


def test_as_many_samples_are_run_together_as_the_net_was_made_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: List[int] = []
    plain = Recorded.add

    def add(self: Recorded, array: np.ndarray) -> None:
        sizes.append(len(array))
        plain(self, array)

    monkeypatch.setattr(Recorded, "add", add)
    calibrated("--input", "x.npz")
    assert [2, 2, 1] == sizes[::5]


@pytest.mark.parametrize(
    ("arrays", "shards"), [([X], 2), ([-0.0 * X, 0.0 * X, X[:3]], 3), ([X * [[[[np.nan]]]], X * np.inf, X], 5)]
)
def test_the_ranges_of_batches_add_up_to_the_same_bytes_wherever_they_were_recorded(
    folder: Path, arrays: List[np.ndarray], shards: int
) -> None:
    """Each shard is pickled, as by another process; zeros of both signs and elements that are not finite included."""
    model = caffe_fuse.load("n.prototxt", "n.caffemodel")
    batches = [{"x": array[first : first + 2]} for array in arrays for first in range(0, len(array), 2)]
    parts: List[Calibration] = []
    for shard in np.array_split(np.arange(len(batches)), shards):
        parts += pickle.loads(pickle.dumps(list(recorded(model, [batches[place] for place in shard]))))
    assert caffe_fuse.calibrate(model, batches).to_json() == in_order(parts).to_json()


def test_a_batch_in_which_a_value_has_no_elements_leaves_the_channels_of_the_others() -> None:
    known, empty = Recorded(), Recorded()
    known.add(np.array([[1, 2, 3]], np.float32))
    empty.add(np.empty((0, 3), np.float32))
    known.merge(empty)
    assert [1, 2, 3] == known.range.lows.tolist()


@pytest.mark.parametrize("shared", ["-j 2", "-j 3"])
def test_processes_record_the_same_bytes(folder: Path, capsys: pytest.CaptureFixture[str], shared: str) -> None:
    contents, said = [], []
    for options in ([], shared.split()):
        calibrated("--input", "x.npz", "--input", "x.npz", *options)
        contents.append(Path("r.json").read_bytes())
        said.append(capsys.readouterr())
    assert contents[0] == contents[1]
    assert said[0] == said[1]


def test_processes_fail_as_one_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("bad.npz", x=X[:, :1])
    said = []
    for shared in ([], ["-j", "2"]):
        words = ["calibrate", "n.prototxt", "n.caffemodel", "--input", "x.npz", "--input", "bad.npz", "-o", "r.json"]
        assert 2 == cli.main([*words, *shared])
        said.append(capsys.readouterr())
    assert said[0] == said[1]
    assert not Path("r.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is neither .npy, .npz, HDF5 nor an image"),
        (b"PKrest", "cannot be read"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
        (b"\x89HDF\r\n\x1a\nrest", "cannot be read"),
    ],
)
def test_a_file_of_samples_that_cannot_be_read_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    Path("bad").write_bytes(content)
    assert 2 == cli.main(["calibrate", "n.prototxt", "n.caffemodel", "--input", "bad", "-o", "r.json"])
    assert f"caffe-fuse: error: bad: {message}" in capsys.readouterr().err
    assert not Path("r.json").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": X, "x": X}, "the net has no input y"),
        ({"x": X, "y": X[:2]}, "different numbers of samples: 5 of x, 2 of y"),
        ({"x": X[0]}, "input x is 2x5x6"),
        ({"x": np.float32(3)}, "x is not an array of samples"),
        ({"x": np.array([None], object)}, "cannot be read"),
        ({"x": X[:0]}, "there are no samples to calibrate with"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arrays: Dict[str, Any], message: str
) -> None:
    np.savez("bad.npz", **arrays)
    assert 2 == cli.main(["calibrate", "n.prototxt", "n.caffemodel", "--input", "bad.npz", "-o", "r.json"])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "net": "", "samples": 1, "values": [{}]}', "\xff"]
)
def test_a_file_of_ranges_that_is_none_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    Path("bad.json").write_text(content, encoding="latin-1")
    assert 2 == cli.main(["check", "n.prototxt", "n.caffemodel", "--ranges", "bad.json"])
    assert "caffe-fuse: error: bad.json: " in capsys.readouterr().err


def test_a_file_of_ranges_is_no_input_that_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.main(["calibrate", "n.prototxt", "n.caffemodel", "--input", "x.npz", "-o", "x.npz"])
    assert "this output is the input x.npz" in capsys.readouterr().err


# --- images ---


def picture(folder: Path, name: str, pixels: np.ndarray) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image.fromarray(pixels.astype(np.uint8)).save(folder / name)


def test_images_are_blue_green_red_less_the_mean(tmp_path: Path) -> None:
    pixels = np.arange(24).reshape(2, 4, 3) * 10
    picture(tmp_path, "b.png", pixels)
    picture(tmp_path, "a.png", pixels[::-1])
    found = open_samples(str(tmp_path), {"data": (1, 3, 2, 4)}, Pixels((1, 2, 3), 0.5)).read(0, 2)["data"]
    expected = np.stack([pixels[::-1], pixels])[..., ::-1].transpose(0, 3, 1, 2)
    mean = np.array([1, 2, 3]).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal((expected - mean) * 0.5, found)


def test_images_are_resized_and_may_be_grey(tmp_path: Path) -> None:
    picture(tmp_path, "a.png", np.full((7, 9, 3), 100))
    found = open_samples(str(tmp_path), {"data": (1, 1, 2, 4)}, Pixels()).read(0, 1)["data"]
    assert ((1, 1, 2, 4), {100.0}) == (found.shape, set(found.ravel().tolist()))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": (1, 3, 2, 2), "b": (1, 3)}, "images need a net with one input, this one has 2"),
        ({"a": (1, 4, 2, 2)}, "images do not fit input a of shape 1x4x2x2"),
        ({"a": None}, "images do not fit input a of shape an unknown shape"),
    ],
)
def test_nets_that_take_no_images_say_so(tmp_path: Path, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_samples(str(tmp_path), inputs, Pixels())


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(InputError, match=r"a\.png: is no image that can be read"):
        open_samples(str(tmp_path), {"x": (1, 3, 2, 2)}, Pixels()).read(0, 1)


def test_without_pillow_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_text("no image")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"images need Pillow; pip install 'caffe-fuse\[image\]'"):
        open_samples(str(tmp_path), {"x": (1, 3, 2, 2)}, Pixels()).read(0, 1)


# --- a trained net ---


def test_a_trained_net_is_calibrated_on_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(3):
        picture(images, f"{seed}.png", np.random.RandomState(seed).randint(0, 256, (32, 32, 3)))
    files = [str(PROJECT / "sample_nets" / f"resnet20_cifar.{ending}") for ending in ("prototxt", "caffemodel")]
    monkeypatch.chdir(tmp_path)
    words = ["calibrate", *files, "--input", "images", "--mean", "104,117,123", "-o", "r.json"]
    assert 0 == cli.main(words)
    assert "samples\nwrote      r.json" in capsys.readouterr().out
    assert cli.main(["fuse", *files, "--dry-run", "--ranges", "r.json", "--report", "f.json"]) in (0, 1)
    rows = json.loads((tmp_path / "f.json").read_text())["predicted_activations"]["after"]
    assert rows
    assert all(row["recorded"] for row in rows)


def test_channels_of_images_may_be_red_green_blue(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    picture(tmp_path / "images", "a.png", np.full((32, 32, 3), (10, 20, 30)))
    files = [str(PROJECT / "sample_nets" / f"resnet20_cifar.{ending}") for ending in ("prototxt", "caffemodel")]
    for option, expected in (("--rgb", [9, 18, 27]), ("--bgr", [29, 18, 7])):
        words = ["calibrate", *files, "--input", str(tmp_path / "images"), "--mean", "1,2,3", option]
        assert 0 == cli.main([*words, "-q", "-o", str(tmp_path / "r.json")])
        seen = json.loads((tmp_path / "r.json").read_text())["values"][0]
        assert expected == seen["lows"] == seen["highs"]
