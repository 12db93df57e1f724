from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any, Tuple

import numpy as np
import pytest
from caffemodel_bytes import (
    ENCODINGS,
    HALVES,
    NUMBERS,
    SHAPE,
    VALUES,
    doubles,
    field,
    layer,
    nets,
    parsed,
    scan,
    singles,
    unpacked,
    varint,
)
from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse.errors import CaffeFuseError, InputError
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.schema import names
from caffe_fuse.weights import read_weights


def only_blob(*parts: bytes) -> Any:
    return scan(layer("conv1", b"".join(parts))).layers[0].blobs[0]


class TestBlobs:
    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_numbers_are_read_in_every_encoding(self, encoding: str) -> None:
        blob = only_blob(ENCODINGS[encoding], SHAPE)
        assert NUMBERS.tolist() == blob.array().tolist()

    @pytest.mark.parametrize(
        ("encoding", "dtype"),
        [("packed", "float32"), ("double", "float64"), ("raw half", "float16"), ("raw double", "float64")],
    )
    def test_numbers_keep_their_type(self, encoding: str, dtype: str) -> None:
        assert only_blob(ENCODINGS[encoding], SHAPE).array().dtype == np.dtype(dtype)

    def test_a_blob_of_unpacked_numbers_needs_few_spans(self) -> None:
        many = 200_000
        content = unpacked([1.5]) * many + field(7, field(1, varint(many)))
        tracemalloc.start()
        try:
            blob = only_blob(content)
            assert tracemalloc.get_traced_memory()[1] < 3 * len(content)
        finally:
            tracemalloc.stop()
        assert [1.5] * many == blob.array().tolist()

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            (field(7, field(1, b"\x02\x03")), (2, 3)),
            (field(7, field(1, 2) + field(1, 3)), (2, 3)),
            (field(7, field(1, 2)) + field(7, field(1, 3)), (2, 3)),
            (field(1, 1) + field(2, 1) + field(3, 2) + field(4, 3), (1, 1, 2, 3)),
            (field(1, 1) + field(3, 7) + field(4, 9) + field(2, 1) + field(4, 3) + field(3, 2), (1, 1, 2, 3)),
            (
                field(1, 1) + field(2, 6) + field(3, 1) + field(4, 1) + field(7, field(1, b"\x07")),
                (1, 6, 1, 1),
            ),
        ],
    )
    def test_shapes_are_read_in_every_form(self, shape: bytes, expected: Tuple[int, ...]) -> None:
        assert expected == only_blob(shape, ENCODINGS["packed"]).shape

    def test_a_blob_without_a_shape_is_a_scalar(self) -> None:
        assert only_blob(field(5, singles([2.5]))).array().shape == ()

    def test_a_blob_of_a_shape_with_a_zero_holds_nothing(self) -> None:
        assert only_blob(field(7, field(1, b"\x00\x03"))).array().shape == (0, 3)

    @pytest.mark.parametrize(
        ("shape", "problem"),
        [
            (field(7, field(1, varint(-2) + varint(-3))), "impossible shape"),
            (field(7, field(1, varint(2**40) + varint(2**40))), "impossible shape"),
            (field(7, field(1, b"\x01" * 33)), "impossible shape"),
            (field(7, field(1, b"\x02\x04")), r"holds 6 elements, but its shape \[2, 4\] needs 8"),
            (field(1, 6), r"holds 6 elements, but its shape \[6, 0, 0, 0\] needs 0"),
            (field(7, field(1, b"\x02\x83")), "cut off"),
        ],
    )
    def test_shapes_that_cannot_be_are_refused(self, shape: bytes, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            only_blob(ENCODINGS["packed"], shape)

    def test_an_error_in_a_blob_names_the_layer_and_the_blob(self) -> None:
        content = layer("conv1", ENCODINGS["packed"] + SHAPE, ENCODINGS["packed"])
        with pytest.raises(InputError, match=r"^net\.caffemodel: layer conv1, blob 1: holds 6 elements"):
            scan(content)

    @pytest.mark.parametrize("missing", [1, 2, 3])
    def test_numbers_cut_in_the_middle_are_refused(self, missing: int) -> None:
        with pytest.raises(InputError, match=f"{24 - missing} bytes of values are not a multiple of 4"):
            only_blob(field(5, singles(VALUES)[:-missing]), SHAPE)
        with pytest.raises(InputError, match=f"{48 - missing} bytes of values are not a multiple of 8"):
            only_blob(field(8, doubles(VALUES)[:-missing]), SHAPE)

    def test_of_two_pieces_of_raw_data_the_last_counts_as_for_protobuf(self) -> None:
        twice = field(10, 0) + field(12, singles([9.0] * 6)) + field(10, 1) + field(12, singles(VALUES))
        assert NUMBERS.tolist() == only_blob(twice, SHAPE).array().tolist()

    @pytest.mark.parametrize(
        ("numbers", "problem"),
        [
            (field(6, singles(VALUES)), r"holds gradients \(diff\), but no weights"),
            (b"", "holds no values in a known form"),
            (field(10, 3) + field(12, singles(VALUES)), "holds no values in a known form"),
            (field(10, 1) + field(12, HALVES), "holds no values in a known form"),
            (field(10, b"\x01" * 6) + field(12, HALVES), "holds no values in a known form"),
        ],
    )
    def test_a_blob_without_known_numbers_is_refused_only_when_used(self, numbers: bytes, problem: str) -> None:
        blob = only_blob(numbers, SHAPE)
        assert blob.shape == (2, 3)
        with pytest.raises(InputError, match=rf"^net\.caffemodel: layer conv1, blob 0: {problem}"):
            blob.array()

    def test_fields_of_other_dialects_are_listed(self) -> None:
        blob = only_blob(ENCODINGS["with another dialect's fields"], SHAPE, field(101, 1))
        assert blob.unknown == (10, 12, 101)

    def test_raw_numbers_are_no_unknown_fields(self) -> None:
        assert only_blob(ENCODINGS["raw half"], SHAPE, field(11, 2)).unknown == ()

    def test_a_blob_in_absurdly_many_pieces_is_refused(self) -> None:
        with pytest.raises(InputError, match="more than 65536 fields"):
            only_blob(field(5, singles([1.0])) * 70_000)

    def test_a_file_that_shrinks_before_a_blob_is_used_is_an_input_error(self, tmp_path: Path) -> None:
        path = tmp_path / "net.caffemodel"
        numbers = field(5, bytes(40_000)) + field(7, field(1, varint(10_000)))
        path.write_bytes(layer("conv1", numbers))
        blob = read_weights(Source(path)).layers[0].blobs[0]
        os.truncate(path, 20_000)
        with pytest.raises(InputError, match="shrank"):
            blob.array()


class TestRead:
    @given(nets())
    def test_layers_are_those_that_protobuf_reads(self, net: Any) -> None:
        found = scan(net.SerializeToString()).layers
        for ours, theirs in zip(found, net.layer):
            assert (theirs.name, theirs.type) == (ours.name, ours.type)
            assert (tuple(theirs.bottom), tuple(theirs.top)) == (ours.bottoms, ours.tops)
            assert [list(blob.data) for blob in theirs.blobs] == [blob.array().tolist() for blob in ours.blobs]
        assert list(range(len(net.layer))) == [record.index for record in found]

    def test_a_name_that_is_no_utf8_comes_back_as_it_was(self) -> None:
        record = scan(field(100, field(1, b"\xc4\xe3"))).layers[0]
        assert names.encode(record.name) == b"\xc4\xe3"

    def test_a_layer_may_leave_out_everything(self) -> None:
        record = scan(field(100, b"")).layers[0]
        assert (record.name, record.type, record.bottoms, record.tops, record.blobs) == ("", None, (), (), ())

    def test_of_two_names_and_types_the_last_counts_as_for_protobuf(self) -> None:
        twice = field(1, b"one") + field(2, b"ReLU") + field(1, b"two") + field(2, b"TanH")
        record, message = scan(field(100, twice)).layers[0], parsed(field(100, twice)).layer[0]
        assert ("two", "TanH") == (message.name, message.type) == (record.name, record.type)

    def test_a_v1_type_below_0_is_its_number(self) -> None:
        assert "V1:-3" == scan(field(2, field(4, b"a") + field(5, -3))).layers[0].type

    def test_v1_layers_have_todays_types(self) -> None:
        old = field(4, b"conv1") + field(5, 4) + field(2, b"data") + field(3, b"out") + field(6, unpacked([5.0]))
        stranger = field(4, b"bn1") + field(5, 47)
        weights = scan(field(2, old) + field(2, stranger))
        conv, other = weights.layers
        assert (weights.generation, conv.name, conv.type) == ("V1", "conv1", "Convolution")
        assert (conv.bottoms, conv.tops, conv.blobs[0].array().item()) == (("data",), ("out",), 5.0)
        assert (other.name, other.type) == ("bn1", "V1:47")

    def test_v0_layers_stand_inside_and_have_todays_types(self) -> None:
        old = field(1, b"conv1") + field(2, b"conv") + field(4, 0) + field(50, unpacked([5.0]))
        weights = scan(field(2, field(2, b"data") + field(1, old) + field(3, b"out")) + field(2, field(3, b"x")))
        conv, other = weights.layers
        assert (weights.generation, conv.name, conv.type) == ("V0", "conv1", "Convolution")
        assert (conv.bottoms, conv.tops, conv.blobs[0].array().item()) == (("data",), ("out",), 5.0)
        assert (other.name, other.type, other.tops) == ("", None, ("x",))

    def test_a_layer_of_too_many_fields_is_refused(self) -> None:
        with pytest.raises(InputError, match="byte 4: a layer has more than 65536 fields"):
            scan(field(1, b"ab") + field(100, field(9, b"") * 65537))

    def test_layers_of_two_generations_are_refused(self) -> None:
        with pytest.raises(InputError, match="layers of two generations, `layer` and `layers`"):
            scan(field(2, field(4, b"a")) + layer("b"))

    def test_a_file_without_layers_is_refused(self) -> None:
        with pytest.raises(InputError, match="holds no layer"):
            scan(field(1, b"net") + field(6, b"\x08\x01"))

    @pytest.mark.parametrize(
        ("length", "problem"),
        [
            (1, r"byte 44: .*cut off"),
            (3, r"byte 46: .*cut off"),
            (9, r"byte 44: field 100 needs \d+ bytes, but only 4 follow; the file is truncated"),
            (
                12,
                r"byte 44: layer conv2: field 100 needs \d+ bytes, but only 7 follow; .*truncated",
            ),
            (9000, r"byte 44: layer conv2: field 100 needs 40047 bytes, but only 8995 follow"),
        ],
    )
    def test_a_truncated_file_names_the_byte_and_the_layer_if_it_can(self, length: int, problem: str) -> None:
        first = layer("conv1", field(5, singles([1.0])))
        second = layer("conv2", field(5, bytes(40_000)) + field(7, field(1, varint(10_000))))
        with pytest.raises(InputError, match=rf"^net\.caffemodel: {problem}"):
            scan(first + second[:length])

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"", "is empty"),
            (b"\n\n <!DOCTYPE html><html>", "is a web page"),
            (b"\xef\xbb\xbf<html lang='en'>\x01", "is a web page"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:12",
                r"is a git-LFS pointer.*git lfs pull",
            ),
            (b"\x1f\x8b\x08\0", "is compressed with gzip.*unpack"),
            (b"PK\x03\x04\x14\0", "is a zip archive, perhaps of PyTorch"),
            (b"\x80\x02}q\0.", "is a Python pickle, perhaps of PyTorch"),
            (field(1, 8) + field(2, b"pytorch") + field(7, b"graph"), "is an ONNX model"),
            (field(1, 50_000) + field(2, b"snap/net.caffemodel") + field(3, b""), "is a solver state"),
            (field(1, 1) + field(2, 3) + field(3, 2) + field(4, 2) + field(5, bytes(48)), "is a single blob"),
            (field(5, bytes(48)) + field(7, field(1, b"\x0c")), "is a single blob"),
            (b'name: "net"\nlayer {\n  name: "conv1" # \xc4\xe3\n}\n', "is text, perhaps a prototxt"),
            (b"\n# comment\r\n\tlayers {}\n" * 300, "is text, perhaps a prototxt"),
        ],
    )
    def test_what_is_no_caffemodel_is_called_by_its_name(self, content: bytes, what: str) -> None:
        with pytest.raises(InputError, match=rf"^net\.caffemodel: {what}"):
            scan(content)

    @given(st.data())
    def test_damage_is_an_input_error_and_costs_no_memory(self, data: st.DataObject) -> None:
        content = bytearray(b"".join(layer(name, code + SHAPE) for name, code in ENCODINGS.items()))
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(1, len(content)))]
        tracemalloc.start()
        try:
            weights = scan(bytes(content))
            for record in weights.layers:
                for blob in record.blobs:
                    blob.array()
        except CaffeFuseError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 1_000_000

    def test_a_file_cut_anywhere_is_an_input_error(self) -> None:
        content = b"".join(layer(name, code + SHAPE) for name, code in ENCODINGS.items())
        borders = {record.span[1] for record in scan(content).layers}
        for length in range(len(content)):
            if length not in borders:
                with pytest.raises(InputError):
                    scan(content[:length])


def equals(ours: Any, theirs: Any) -> bool:
    """Returns whether a blob holds what protobuf reads; older versions change the bits of a signalling NaN."""
    dtype = {0: "<f8", 1: "<f4", 2: "<f2"}[theirs.raw_data_type if theirs.raw_data else 1]
    numbers = np.frombuffer(theirs.raw_data, dtype) if theirs.raw_data else np.array(theirs.data, dtype)
    legacy = theirs.HasField("num")
    shape = (theirs.num, theirs.channels, theirs.height, theirs.width) if legacy else tuple(theirs.shape.dim)
    array = ours.array()
    same = np.array_equal(numbers.reshape(shape), array, equal_nan=True)
    return same and dtype == array.dtype.str


def check_against_protobuf(path: Path) -> None:
    found, net = read_weights(Source(path)), parsed(path.read_bytes())
    theirs = net.layer if found.generation == "V2" else net.layers
    assert [layer.name for layer in theirs] == [record.name for record in found.layers]
    for record, message in zip(found.layers, theirs):
        assert (tuple(message.bottom), tuple(message.top)) == (record.bottoms, record.tops)
        assert len(message.blobs) == len(record.blobs)
        for number, (ours, blob) in enumerate(zip(record.blobs, message.blobs)):
            assert equals(ours, blob), f"{path}: {record.name}, blob {number}"


class TestRealFiles:
    def test_files_written_by_caffe_are_read_as_protobuf_reads_them(self, shared: Path) -> None:
        paths = sorted(shared.glob("caffe_truth/*/*.caffemodel"))
        assert len(paths) > 200
        for path in (*paths, shared / "caffe_upgrade" / "v1-net.caffemodel"):
            check_against_protobuf(path)

    def test_models_of_all_dialects_are_read_as_protobuf_reads_them(self, shared: Path) -> None:
        paths = sorted(shared.glob("models/[!n]*/*.caffemodel"))
        assert len(paths) > 20
        for path in paths:
            check_against_protobuf(path)

    def test_v1_types_are_those_that_caffe_upgrades_them_to(self, shared: Path) -> None:
        old = read_weights(Source(shared / "caffe_upgrade" / "v1-net.caffemodel"))
        new = read_weights(Source(shared / "caffe_upgrade" / "v1-net.upgraded.caffemodel"))
        upgraded = [(one.name, one.type) for one in new.layers]
        assert upgraded == [("input", "Input"), *((one.name, one.type) for one in old.layers)]

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("html-instead-of-weights.caffemodel", "is a web page"),
            ("truncated-res10.caffemodel", r"byte 2040386: layer layer_256_1_conv2: .*truncated"),
        ],
    )
    def test_files_that_are_none_are_refused(self, shared: Path, name: str, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            read_weights(Source(shared / "models" / "negative" / name))
