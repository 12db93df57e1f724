"""Which files of a folder are a model: by name, by being alone, by their layers; and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import nets
import pytest

from caffe_fuse import InputError
from caffe_fuse.many.pairs import Found, in_folder, of_files

ONE = nets.text(nets.convolution("one"), nets.batch_norm("one_bn", "c"))
TWO = nets.text(nets.convolution("two"), nets.batch_norm("two_bn", "c"))
TRAINED = ONE + nets.layer("loss", "SoftmaxWithLoss", "c", "loss").encode()
SOLVER = b'net: "train_val.prototxt"\nbase_lr: 0.1\n'


def weights(net: bytes) -> bytes:
    return nets.caffemodel(net, nets.numbers(net))


FILES: Dict[str, bytes] = {"one": ONE, "two": TWO, "train": TRAINED, "solver": SOLVER, "text": b"a layer { of paint }"}
FILES.update(
    {"w1": weights(ONE), "w2": weights(TWO), "broken": weights(ONE)[:-9], "png": b"\x89PNG\r\n\x1a\n\0\0layer {"}
)
FILES.update({"old": b'layers { layer { name: "one" type: "conv" } bottom: "x" top: "c" }', "typo": b"layer { name: }"})


def made(folder: Path, files: str) -> None:
    """Writes files, each given as NAME=KIND."""
    for name, kind in (word.split("=") for word in files.split()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[kind])


def told(found: Found, folder: Path) -> Tuple[List[str], Dict[str, str]]:
    def short(path: str) -> str:
        return path.replace(f"{folder}/", "")

    pairs = [f"{short(pair.net)}+{short(pair.weights)}" for pair in found.pairs]
    return pairs, {short(each.file): short(each.reason) for each in found.left}


@pytest.mark.parametrize(
    ("files", "pairs", "left"),
    [
        (
            "a.prototxt=one a.caffemodel=w1 b.prototxt=two b.caffemodel=w2",
            "a.prototxt+a.caffemodel b.prototxt+b.caffemodel",
            {},
        ),
        ("m/deploy.prototxt=one m/snap.caffemodel=w1", "m/deploy.prototxt+m/snap.caffemodel", {}),
        # Alone, though they do not fit: the command says so.
        ("n.prototxt=one w.caffemodel=w2", "n.prototxt+w.caffemodel", {}),
        ("n.prototxt=one n.caffemodel=broken", "n.prototxt+n.caffemodel", {}),
        (
            "x.prototxt=one y.prototxt=two p.caffemodel=w2 q.caffemodel=w1",
            "x.prototxt+q.caffemodel y.prototxt+p.caffemodel",
            {},
        ),
        # One net, two snapshots.
        (
            "n.prototxt=one n_1.caffemodel=w1 n_2.caffemodel=w1",
            "n.prototxt+n_1.caffemodel n.prototxt+n_2.caffemodel",
            {},
        ),
        ("nets/a.prototxt=one weights/b.caffemodel=w1", "nets/a.prototxt+weights/b.caffemodel", {}),
        ("a.pbtxt=one w=w1", "a.pbtxt+w", {}),
        (
            "deploy.prototxt=one train_val.prototxt=train solver.prototxt=solver w.caffemodel=w1",
            "deploy.prototxt+w.caffemodel",
            {"train_val.prototxt": "deploy.prototxt was taken", "solver.prototxt": "is a solver, not a net"},
        ),
        ("train_val.prototxt=train w.caffemodel=w1 notes.txt=text", "train_val.prototxt+w.caffemodel", {}),
        (
            "a.prototxt=one b.prototxt=one w.caffemodel=w1",
            "",
            {
                "a.prototxt": "no weights here fit it",
                "b.prototxt": "no weights here fit it",
                "w.caffemodel": "fits a.prototxt, b.prototxt: say in a manifest which is meant",
            },
        ),
        (
            "a.prototxt=one a.caffemodel=w1 w.caffemodel=w2",
            "a.prototxt+a.caffemodel",
            {"w.caffemodel": "no net here fits it"},
        ),
        ("a.prototxt=typo", "", {"a.prototxt": "expected a value, found `}`"}),
        ("a.png=png .hidden.prototxt=one .git/a.prototxt=one notes.txt=text", "", {}),
        ("a.prototxt=old a.caffemodel=w1", "a.prototxt+a.caffemodel", {}),
    ],
)
def test_the_models_of_a_folder(files: str, pairs: str, left: Dict[str, str], tmp_path: Path) -> None:
    made(tmp_path, files)
    found, unpaired = told(in_folder(str(tmp_path)), tmp_path)
    assert pairs.split() == found
    assert left == unpaired


def test_of_one_model_in_two_formats_the_caffemodel_is_taken(tmp_path: Path) -> None:
    made(tmp_path, "n.prototxt=one n.caffemodel=w1 n.caffemodel.h5=w1")
    assert (["n.prototxt+n.caffemodel"], {"n.caffemodel.h5": "n.caffemodel was taken"}) == told(
        in_folder(str(tmp_path)), tmp_path
    )


def test_where_in_the_folder_a_model_is_is_kept(tmp_path: Path) -> None:
    made(tmp_path, "a.prototxt=one a.caffemodel=w1 b/c/n.prototxt=two b/c/n.caffemodel=w2")
    assert ["", "b/c"] == [pair.under for pair in in_folder(str(tmp_path)).pairs]


@pytest.mark.parametrize(
    ("words", "pairs"),
    [
        ("x.caffemodel a.prototxt b.prototxt y.caffemodel", "a.prototxt+x.caffemodel b.prototxt+y.caffemodel"),
        # As a shell lists them.
        ("a.caffemodel a.prototxt b.caffemodel b.prototxt", "a.prototxt+a.caffemodel b.prototxt+b.caffemodel"),
        ("a.prototxt b.prototxt y.caffemodel x.caffemodel", "a.prototxt+x.caffemodel b.prototxt+y.caffemodel"),
        # What they are is for the command to say.
        ("a.prototxt note b.prototxt y.caffemodel", "a.prototxt+note b.prototxt+y.caffemodel"),
    ],
)
def test_the_models_of_several_files(words: str, pairs: str, tmp_path: Path) -> None:
    made(
        tmp_path,
        "a.prototxt=one b.prototxt=two a.caffemodel=w1 b.caffemodel=w2 x.caffemodel=w1 y.caffemodel=w2 note=text",
    )
    found = of_files([f"{tmp_path}/{word}" for word in words.split()])
    assert (pairs.split(), {}) == told(found, tmp_path)


def test_a_file_that_is_given_is_told_if_it_is_no_part_of_a_model(tmp_path: Path) -> None:
    made(tmp_path, "a.prototxt=one a.caffemodel=w1 b.txt=text")
    found = of_files([f"{tmp_path}/{name}" for name in ("a.prototxt", "a.caffemodel", "b.txt")])
    assert (["a.prototxt+a.caffemodel"], {"b.txt": "is neither a net nor weights"}) == told(found, tmp_path)
    with pytest.raises(InputError, match="c: does not exist"):
        of_files([f"{tmp_path}/{name}" for name in ("a.prototxt", "a.caffemodel", "c")])
