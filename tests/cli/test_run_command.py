"""`caffe-fuse run`: where inputs come from, and what is printed and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Tuple

import h5py
import nets
import numpy as np
import pytest
from nets import convolution, layer, text

import caffe_fuse
from caffe_fuse.cli import process as cli

NET = text(
    convolution("c", "x", "c", settings="pad: 1"),
    layer("pool", "Pooling", "c", "pool", "pooling_param { pool: AVE global_pooling: true }"),
    layer("p", "Softmax", "pool", "p"),
    shape=(1, 3, 5, 6),
)
PICTURE = np.random.RandomState(4).randint(0, 256, (5, 6, 3), np.uint8)  # rows, columns, R G B
Run = Callable[..., Tuple[int, str, str]]


@pytest.fixture
def model(tmp_path: Path) -> List[str]:
    (tmp_path / "net.prototxt").write_bytes(NET)
    (tmp_path / "net.caffemodel").write_bytes(nets.caffemodel(NET, nets.numbers(NET)))
    return [str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")]


@pytest.fixture
def run(model: List[str], capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> Tuple[int, str, str]:
        status = cli.main(["run", *model, *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


def answer(model: List[str], image: np.ndarray) -> np.ndarray:
    return caffe_fuse.run(caffe_fuse.load(*model), {"x": image[np.newaxis].astype(np.float32)})["p"]


def saved(path: Path) -> np.ndarray:
    with np.load(path) as file:
        assert ["p"] == file.files
        return np.asarray(file["p"])


def test_a_summary_and_the_largest_classes_are_printed(run: Run) -> None:
    status, out, _ = run()
    assert 0 == status
    first, second = out.splitlines()
    assert first.startswith("p  1x6x1x1: min ")
    assert 5 == second.count(":")


def test_the_same_seed_gives_the_same_file_and_another_another(run: Run, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert 0 == run("--seed", seed, "-o", tmp_path / name)[0]
    contents = [(tmp_path / name).read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_blobs_can_be_named(run: Run, tmp_path: Path) -> None:
    run("--blobs", "c,p", "-o", tmp_path / "o.npz")
    with np.load(tmp_path / "o.npz") as file:
        assert {"c", "p"} == set(file.files)
    assert 2 == run("--blobs", "nowhere")[0]


@pytest.mark.parametrize("name", ["file", "allow_pickle", "a/b"])
def test_a_blob_of_any_name_is_written(run: Run, model: List[str], tmp_path: Path, name: str) -> None:
    Path(model[0]).write_bytes(NET.replace(b'top: "p"', b'top: "%b"' % name.encode()))
    assert 0 == run("-o", tmp_path / "o.npz")[0]
    with np.load(tmp_path / "o.npz") as found:
        assert [name] == found.files
        assert caffe_fuse.run(caffe_fuse.load(*model))[name].tolist() == found[name].tolist()


@pytest.mark.parametrize("kind", ["npy", "npz", "h5"])
def test_inputs_come_from_array_files(run: Run, model: List[str], tmp_path: Path, kind: str) -> None:
    image = np.random.RandomState(2).standard_normal((3, 5, 6)).astype(np.float32)
    path = tmp_path / f"input.{kind}"
    if kind == "npy":
        np.save(path, image[np.newaxis])
    elif kind == "npz":
        np.savez(path, x=image[np.newaxis])
    else:
        with h5py.File(path, "w") as file:
            file["x"], file["label"] = image[np.newaxis], [3]
    assert 0 == run("--input", path, "-o", tmp_path / "o.npz")[0]
    assert answer(model, image).tobytes() == saved(tmp_path / "o.npz").tobytes()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], PICTURE[:, :, ::-1].transpose(2, 0, 1).astype(np.float32)),
        (["--rgb"], PICTURE.transpose(2, 0, 1).astype(np.float32)),
        (
            ["--mean", "104,117,123", "--scale", "0.5"],
            (PICTURE[:, :, ::-1] - np.array([104, 117, 123], np.float32)).transpose(2, 0, 1) * np.float32(0.5),
        ),
    ],
    ids=["bgr", "rgb", "mean and scale"],
)
def test_an_image_becomes_the_input(
    run: Run, model: List[str], tmp_path: Path, options: List[str], expected: np.ndarray
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image.fromarray(PICTURE).save(tmp_path / "picture.png")
    assert 0 == run("--image", tmp_path / "picture.png", *options, "-o", tmp_path / "o.npz")[0]
    assert answer(model, expected).tobytes() == saved(tmp_path / "o.npz").tobytes()


@pytest.mark.parametrize(
    "option", ["--scale=0", "--scale=nan", "--scale=inf", "--mean=nan", "--mean=1,inf,3", "--mean=1,,3"]
)
@pytest.mark.parametrize("command", ["run", "verify", "calibrate", "fuse"])
def test_pixels_that_would_be_no_numbers_are_an_error(
    model: List[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, option: str
) -> None:
    """Ranges or outputs of such images would mean nothing."""
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 5, 6), np.float32))
    files = [*model, *model] if command == "verify" else model
    output = {"calibrate": ["-o", str(tmp_path / "out")], "fuse": ["--verify", "-o", str(tmp_path / "out")]}
    assert 2 == cli.main([command, *files, "--input", str(tmp_path / "x.npy"), option, *output.get(command, [])])
    assert f"error: {option.replace('=', ' ')} is no" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pickle_is_not_opened(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], object), allow_pickle=True)
    status, _, err = run("--input", tmp_path / "p.npy")
    assert 2 == status
    assert "cannot be read" in err


def test_inputs_that_do_not_fit_are_an_error(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "wrong.npz", other=np.zeros((1, 3, 5, 6)), x=np.zeros((1, 3, 5, 6)))
    status, _, err = run("--input", tmp_path / "wrong.npz")
    assert (2, True) == (status, "the net has no input other" in err)
    (tmp_path / "no.txt").write_text("nothing")
    assert 2 == run("--input", tmp_path / "no.txt")[0]


def test_half_precision_is_another_answer(run: Run, tmp_path: Path) -> None:
    run("--precision", "half", "-o", tmp_path / "half.npz")
    run("-o", tmp_path / "single.npz")
    half, single = saved(tmp_path / "half.npz"), saved(tmp_path / "single.npz")
    assert half.astype(np.float16).astype(np.float32).tobytes() == half.tobytes() != single.tobytes()
    assert np.abs(half - single).max() < 0.05


def test_a_target_without_half_precision_is_a_warning(run: Run) -> None:
    assert (0, "") == run("--target", "ncnn", "--precision", "half")[::2]
    status, _, err = run("--target", "ncnn")
    assert 0 == status
    assert err == "caffe-fuse: warning: half policy ncnn had no effect in float32: give --precision half\n"


def test_what_is_warned_of_comes_before_an_error_that_it_explains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights = tmp_path / "n.prototxt", tmp_path / "n.caffemodel"
    net.write_bytes(NET.replace(b'"Softmax"', b'"Softmaxx"'))
    weights.write_bytes(nets.caffemodel(NET, nets.numbers(NET)))
    assert 2 == cli.main(["run", str(net), str(weights), "--blobs", "p"])
    warning, error = capsys.readouterr().err.splitlines()
    assert "type Softmaxx of 1 layer is not known (did you mean Softmax?)" in warning
    assert "blob p cannot be computed" in error
