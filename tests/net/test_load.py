"""Files that are not what was expected: the message says what they are, and what to do."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import pytest
from nets import caffemodel, convolution, numbers, text
from reference.files import message_class

import caffe_fuse

NET = text(convolution())
WEIGHTS = caffemodel(NET, numbers(NET))


def solver_state() -> bytes:
    return b"\x08\x90\x4e\x12\x1bsnap_iter_10000.caffemodel\x1a\x04\x2a\x02\x00\x00"


def mean_file() -> bytes:
    blob = message_class("BlobProto")(num=1, channels=3, height=2, width=2)
    blob.data.extend(range(12))
    return bytes(blob.SerializeToString())


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("model/data.pkl", b"")
    return content.getvalue()


def array_file() -> bytes:
    content = io.BytesIO()
    np.savez(content, weights=np.zeros(3))
    return content.getvalue()


OTHERS: Dict[str, Tuple[bytes, str]] = {
    "solver state": (solver_state(), "is a solver state, expected a caffemodel; give the .caffemodel of the same iter"),
    "mean": (mean_file(), "is a single blob, such as a mean.binaryproto, expected a caffemodel"),
    "HTML": (b"<!DOCTYPE html>\n<html>\x01", "is a web page, expected a caffemodel; get the file itself"),
    "git-LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n\x01",
        "is a git-LFS pointer, expected a caffemodel; get the file itself with `git lfs pull`",
    ),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0", "is compressed with gzip, expected a caffemodel; unpack it first"),
    "xz": (b"\xfd7zXZ\0\0\4", "is a compressed archive, expected a caffemodel; unpack it first"),
    "bzip2": (b"BZh91AY&SY\1", "is a compressed archive, expected a caffemodel"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "is an ONNX model, expected a caffemodel"),
    "PyTorch": (archive(), "is a zip archive, perhaps of PyTorch, expected a caffemodel"),
    "old PyTorch": (pickle.dumps({"a": 1}, 2), "is a Python pickle, perhaps of PyTorch, expected a caffemodel"),
    "arrays": (array_file(), "is a zip archive, perhaps of PyTorch, expected a caffemodel"),
    "TFLite": (b"\x1c\0\0\0TFL3\x14\0\x20\0", "is a TensorFlow Lite model, expected a caffemodel"),
}


def error(folder: Path, net: bytes, weights: bytes) -> str:
    files = folder / "n.prototxt", folder / "w.caffemodel"
    for path, content in zip(files, (net, weights)):
        path.write_bytes(content)
    with pytest.raises(caffe_fuse.InputError) as caught:
        caffe_fuse.load(*files)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("name", OTHERS)
def test_weights_that_are_something_else_are_named(name: str, tmp_path: Path) -> None:
    content, expected = OTHERS[name]
    assert f"w.caffemodel: {expected}" == error(tmp_path, NET, content)[: len(expected) + 14]


@pytest.mark.parametrize("name", [name for name in OTHERS if name not in ("HTML", "git-LFS")])
def test_a_net_that_is_something_else_is_named(name: str, tmp_path: Path) -> None:
    content, expected = OTHERS[name]
    what = expected.split(", expected")[0]
    assert f"n.prototxt: this is not a prototxt: it {what}; give the .prototxt of the net" == error(
        tmp_path, content, WEIGHTS
    )


@pytest.mark.parametrize("name", ["HTML", "git-LFS"])
def test_a_text_that_is_no_prototxt_is_named(name: str, tmp_path: Path) -> None:
    content, expected = OTHERS[name]
    what, remedy = expected.split(", expected a caffemodel")
    assert f"n.prototxt: {what}{remedy}" == error(tmp_path, content.rstrip(b"\1"), WEIGHTS)


PLACEHOLDERS = ["$#batch_size#$", "${BATCH}", "$batch", "{{ batch }}", "{batch}", "@BATCH@", "%(batch)d"]


@pytest.mark.parametrize("place", PLACEHOLDERS)
def test_a_template_is_named_with_its_first_placeholder(place: str, tmp_path: Path) -> None:
    net = text().replace(b"dim: 2 ", f"dim: {place} ".encode())
    found = error(tmp_path, net, WEIGHTS).splitlines()
    # The first brace opens a message, whose content ends too early.
    column = 21 if place.startswith("{{") else 20 + len("{batch") if place == "{batch}" else 20
    assert (
        f"n.prototxt:2:{column}: {place} is a placeholder: this is a template of a net; fill in its placeholders"
        == found[0]
    )
    assert ("^", column) == (found[2].strip(), found[2].index("^") - 1)


def test_what_only_looks_like_a_placeholder_elsewhere_is_none(tmp_path: Path) -> None:
    found = error(tmp_path, b'name: "$a" name: [', WEIGHTS)
    assert "placeholder" not in found


def test_a_word_in_place_of_a_number_may_be_of_a_template(tmp_path: Path) -> None:
    net = text(convolution("c", settings="group: groups"))
    found = error(tmp_path, net, WEIGHTS).splitlines()[0]
    assert "expected an integer, found `groups`; if this is a template, replace its placeholders with numbers" in found
    other = error(tmp_path, text(convolution("c", settings='group: "2"')), WEIGHTS).splitlines()[0]
    assert other.endswith('expected an integer, found `"2"`')


@pytest.mark.parametrize("field", ["net_param", "train_net_param", "test_net_param"])
def test_a_solver_that_holds_its_net_says_where(field: str, tmp_path: Path) -> None:
    net = b"base_lr: 0.1\n" + field.encode() + b" {\n" + text(convolution("c")) + b"}\n"
    assert (
        f"n.prototxt:2:1: is a solver that holds its net, in {field}; save the text between its braces as a file, "
        "and give that"
    ) == error(tmp_path, net, WEIGHTS)


def test_a_solver_names_the_field_that_names_the_net(tmp_path: Path) -> None:
    assert "n.prototxt: is a solver, not a net; give the prototxt that its `train_net` names" == error(
        tmp_path, b'train_net: "a.prototxt"\nbase_lr: 0.1\n', WEIGHTS
    )


def test_two_solvers_two_weights_two_nets(tmp_path: Path) -> None:
    assert "n.prototxt: is a solver, not a net; give the prototxt that its `net` names" == error(
        tmp_path, b'net: "a.prototxt"\nbase_lr: 0.1\n', WEIGHTS
    )
    assert "n.prototxt: this is not a prototxt: it is binary; give the .prototxt of the net" == error(
        tmp_path, WEIGHTS, WEIGHTS
    )
    assert "w.caffemodel: is text, perhaps a prototxt, expected a caffemodel; give the .caffemodel" == error(
        tmp_path, NET, NET
    )


def test_weights_of_another_net_say_how_many_layers_matched(tmp_path: Path) -> None:
    net = text(convolution("c"), convolution("d", "x", "d"), convolution("e", "x", "e"))
    expected = (
        "n.prototxt:4:1: w.caffemodel has no weights for layer d (Convolution), e (Convolution); 1 of 3 layers with "
        "weights matched by name: is w.caffemodel the weight file of this net?"
    )
    assert expected == error(tmp_path, net, WEIGHTS)


def test_a_stage_alone_is_one_stage(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_bytes(text(convolution(rest='include { stage: "deploy" }')))
    for stages in ("deploy", ["deploy"]):
        assert ["c"] == [layer.name for layer in caffe_fuse.load(tmp_path / "net.prototxt", stages=stages).net.layers]
