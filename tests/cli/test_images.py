"""Images as inputs: files and folders under either option, labels, and means."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

import nets
import numpy as np
import pytest
from conftest import Run
from nets import convolution, layer, text

import caffe_fuse
from caffe_fuse.cli.images import Pixels, files_in, fitting, mean_image
from caffe_fuse.schema.messages import new

NET = text(
    convolution("c", "x", "c", settings="pad: 1"),
    layer("pool", "Pooling", "c", "pool", "pooling_param { pool: AVE global_pooling: true }"),
    layer("p", "Softmax", "pool", "p"),
    shape=(1, 3, 5, 6),
)
PICTURES = np.random.RandomState(4).randint(0, 256, (3, 5, 6, 3), np.uint8)  # rows, columns, R G B
Save = Callable[[str, int], str]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> List[str]:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_bytes(NET)
    Path("net.caffemodel").write_bytes(nets.caffemodel(NET, nets.numbers(NET)))
    return ["net.prototxt", "net.caffemodel"]


@pytest.fixture
def save() -> Save:
    """Returns what saves one of the pictures under a path, and returns that."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

    def call(path: str, which: int) -> str:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(PICTURES[which]).save(path)
        return path

    return call


def planes(*which: int) -> np.ndarray:
    """Returns the pictures as Caffe has them: channels B, G, R first."""
    return PICTURES[list(which)][..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)


def answers(model: Sequence[str], batch: np.ndarray) -> np.ndarray:
    return caffe_fuse.run(caffe_fuse.load(*model), {"x": batch})["p"]


def saved(path: str) -> np.ndarray:
    with np.load(path) as file:
        return np.asarray(file["p"])


@pytest.mark.parametrize("option", ["--image", "--input"])
@pytest.mark.parametrize("kind", ["image", "folder", "npy"])
def test_both_options_take_images_folders_and_arrays(
    run: Run, model: List[str], save: Save, option: str, kind: str
) -> None:
    save("pictures/a.png", 0)
    np.save("a.npy", planes(0))
    path = {"image": "pictures/a.png", "folder": "pictures", "npy": "a.npy"}[kind]
    assert 0 == run("run", *model, option, path, "-o", "o.npz")[0]
    assert answers(model, planes(0)).tobytes() == saved("o.npz").tobytes()


def test_several_of_them_are_one_batch(run: Run, model: List[str], save: Save) -> None:
    np.save("a.npy", planes(2))
    words = ["--input", save("b.png", 1), "--image", "a.npy", "--input", save("f/c.png", 0)]
    assert 0 == run("run", *model, *words, "-o", "o.npz")[0]
    assert answers(model, planes(1, 2, 0)).tobytes() == saved("o.npz").tobytes()


def test_arrays_that_do_not_go_together_are_told(run: Run, model: List[str]) -> None:
    np.save("a.npy", planes(2))
    np.save("b.npy", planes(2)[..., :4])
    status, _, err = run("run", *model, "--input", "a.npy", "--input", "b.npy")
    assert (2, True) == (status, "b.npy: has other arrays than a.npy" in err)


@pytest.mark.parametrize(
    "path", ["a.txt", "net.caffemodel", "nowhere.png"], ids=["text", "binary", "what is not there"]
)
def test_a_file_that_is_none_of_these_is_told_without_pillow(
    run: Run, model: List[str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    Path("a.txt").write_text("no image")
    status, _, err = run("run", *model, "--image", path)
    assert 2 == status
    assert f"{path}: cannot be read" in err if path == "nowhere.png" else "is neither .npy, .npz, HDF5 nor an" in err


# --- folders ---


def test_a_folder_is_read_with_the_folders_in_it_sorted_by_path(run: Run, model: List[str], save: Save) -> None:
    for path, which in (("f/b/1.png", 2), ("f/a/z.png", 1), ("f/c.png", 0), ("f/.thumbs/x.png", 0), ("f/.x.png", 0)):
        save(path, which)
    assert ["f/a/z.png", "f/b/1.png", "f/c.png"] == files_in("f")
    assert 0 == run("run", *model, "--image", "f", "-o", "o.npz")[0]
    assert answers(model, planes(1, 2, 0)).tobytes() == saved("o.npz").tobytes()


def test_a_folder_without_images_is_told(run: Run, model: List[str]) -> None:
    Path("f").mkdir()
    Path("f/labels.txt").write_text("a\n")
    status, _, err = run("run", *model, "--input", "f")
    assert (2, True) == (status, "f: is a folder without images" in err)


def labelled(save: Save, lines: str) -> None:
    save("f/1.png", 0)
    Path("f/labels.txt").write_text(lines, encoding="utf-8")


def classes(out: str) -> List[Tuple[str, str]]:
    """Returns the printed classes with their names, in the order of the classes."""
    line = next(line for line in out.splitlines() if "0 zero" in line)
    ranked = line.split(";")[-1].split(", ") if "float32" not in line else line.split("p: ")[1].split(", ")
    pairs = (each.strip().rsplit(": ", 1)[0].split(" ", 1) for each in ranked)
    return sorted((pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs)


def test_labels_are_printed_with_the_classes(run: Run, model: List[str], save: Save) -> None:
    labelled(save, "zero\none point\n\nthree é\r\nfour\nfive\n\n")
    names = {"0": "zero", "1": "one point", "2": "", "3": "three é", "4": "four", "5": "five"}
    for words in (
        ["run", *model],
        ["verify", *model, *model],
        ["fuse", *model, "--dry-run", "--verify"],
    ):
        status, out, _ = run(*words, "--image", "f")
        assert 0 == status
        found = classes(out)
        assert 5 == len(found)
        assert {number: names[number] for number, _ in found} == dict(found)


def test_classes_without_a_label_are_numbers(run: Run, model: List[str], save: Save) -> None:
    labelled(save, "zero\n")
    assert all(not name for number, name in classes(run("run", *model, "--image", "f")[1]) if number != "0")


# --- means ---


def binaryproto(values: np.ndarray, legacy: bool) -> bytes:
    """Returns a mean as compute_image_mean writes it, or with a shape of today."""
    blob = new("BlobProto")
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = 1, *values.shape
    else:
        blob.shape.dim.extend(values.shape)
    blob.data.extend(values.ravel().tolist())
    content: bytes = blob.SerializeToString()
    return content


MEAN = np.random.RandomState(1).rand(3, 5, 6).astype(np.float32) * 100


@pytest.mark.parametrize("legacy", [True, False])
def test_a_mean_image_is_subtracted(run: Run, model: List[str], save: Save, legacy: bool) -> None:
    Path("mean.binaryproto").write_bytes(binaryproto(MEAN, legacy))
    words = ["--image", save("a.png", 1), "--mean", "mean.binaryproto", "--scale", "0.5", "-o", "o.npz"]
    assert 0 == run("run", *model, *words)[0]
    assert answers(model, (planes(1) - MEAN) * np.float32(0.5)).tobytes() == saved("o.npz").tobytes()


def test_a_mean_image_of_another_size_is_the_mean_of_each_channel(tmp_path: Path) -> None:
    large = np.arange(3 * 8 * 9, dtype=np.float32).reshape(3, 8, 9)
    (tmp_path / "m").write_bytes(binaryproto(large, True))
    found = fitting("", {"x": (1, 3, 5, 6)}, Pixels(mean_image(str(tmp_path / "m")))).mean
    assert [[[35.5]], [[107.5]], [[179.5]]] == found.tolist()


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1)])
def test_a_mean_may_be_one_value_for_each_channel(tmp_path: Path, shape: Tuple[int, ...]) -> None:
    (tmp_path / "m").write_bytes(binaryproto(np.array([1, 2, 3], np.float32).reshape(shape), False))
    assert [1, 2, 3] == mean_image(str(tmp_path / "m")).tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no protobuf", "is not a protobuf message"),
        (binaryproto(MEAN[:2], True), "--mean has 2 values for 3 channels"),
        (binaryproto(np.full((3,), np.nan, np.float32), False), "is no mean of images"),
        (binaryproto(np.zeros((2, 3), np.float32), False), "is no mean of images: its shape is 2x3"),
        (b"", "holds no values in a known form"),
    ],
    ids=["text", "channels", "nan", "shape", "empty"],
)
def test_what_is_no_mean_is_told(run: Run, model: List[str], save: Save, content: bytes, message: str) -> None:
    Path("m").write_bytes(content)
    status, out, err = run("run", *model, "--image", save("a.png", 1), "--mean", "m")
    assert (2, "") == (status, out)
    assert message in err


def test_a_mean_is_an_input_that_no_output_replaces(run: Run, model: List[str], save: Save) -> None:
    content = binaryproto(MEAN, True)
    Path("m").write_bytes(content)
    status, _, err = run("run", *model, "--image", save("a.png", 1), "--mean", "m", "-o", "m")
    assert (2, content) == (status, Path("m").read_bytes())
    assert "this output is the input m" in err


def test_a_mean_of_a_manifest_is_in_its_folder(run: Run, model: List[str], save: Save) -> None:
    save("list/a.png", 0)
    Path("list/m").write_bytes(binaryproto(MEAN, True))
    rows = ["net\tweights\toptions\toutput"]
    for mean, output in (("m", "a"), ("1,2,3", "b")):
        rows.append(f"../net.prototxt\t../net.caffemodel\t--input a.png --mean {mean}\t{output}.json")
    Path("list/models").write_text("\n".join(rows))
    assert 0 == run("calibrate", "--manifest", "list/models", "-o", "out/")[0]
    assert ["a.json", "b.json"] == sorted(path.name for path in Path("out").iterdir())
    assert Path("out/a.json").read_text() != Path("out/b.json").read_text()


@pytest.mark.parametrize("side", [10000, 20000])
def test_an_image_of_too_many_pixels_is_refused(run: Run, model: List[str], side: int) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT", b"IEND"]
    framed = [struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each)) for each in chunks]
    Path("bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))
    status, _, err = run("run", *model, "--image", "bomb.png")
    assert 2 == status
    assert "bomb.png: is no image that can be read: " in err
    assert "exceeds limit" in err
