"""Blobs in every encoding, by bytes written by hand: how they fold, and how they stay unchanged."""

from __future__ import annotations

from typing import Tuple

import nets
import numpy as np
import pytest
from caffemodel_bytes import ENCODINGS, NUMBERS, SHAPE, VALUES, doubles, field, layer, scan, singles

from caffe_fuse.blobs.blob import FLOAT16, FLOAT32, FLOAT64, ArrayBlob
from caffe_fuse.errors import InputError
from caffe_fuse.schema import messages as schema
from caffe_fuse.weights.blobproto import encoded_around

PROTOTXT = nets.text(
    nets.layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 2 bias_term: false }"),
    nets.layer("s", "Scale", "i", "s", "scale_param { bias_term: true }"),
    nets.layer("r", "ReLU", "s", "r"),
    nets.layer("j", "InnerProduct", "x", "j", "inner_product_param { num_output: 2 bias_term: false }"),
    shape=(1, 3),
)
SLOPE, SHIFT = field(5, singles([2.0, -4.0])), field(5, singles([1.0, 3.0]))
PAIR = field(7, field(1, b"\x02"))


def weights(blob: bytes) -> bytes:
    scale = layer("s", SLOPE + PAIR, SHIFT + PAIR, kind="Scale")
    return layer("i", blob, kind="InnerProduct") + scale + layer("j", blob, kind="InnerProduct")


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if "dialect" not in name])
def test_a_fold_reads_every_encoding_and_writes_float32_while_others_stay_as_they_are(encoding: str) -> None:
    blob = ENCODINGS[encoding] + SHAPE
    fused = nets.fuse(PROTOTXT, weights=weights(blob))
    new, bias = nets.records(fused.weights)["i"].blobs
    assert ((NUMBERS * [[2], [-4]]).ravel().tolist(), [1.0, 3.0]) == (list(new.data), list(bias.data))
    assert fused.weights.endswith(layer("j", blob, kind="InnerProduct"))


def test_an_old_shape_of_four_axes_is_that_of_two() -> None:
    legacy = field(1, 1) + field(2, 1) + field(3, 2) + field(4, 3) + ENCODINGS["packed"]
    fused = nets.fuse(PROTOTXT, weights=weights(legacy))
    record = nets.records(fused.weights)["i"]
    assert (1, 1, 2, 3) == tuple(getattr(record.blobs[0], name) for name in ("num", "channels", "height", "width"))
    assert (NUMBERS * [[2], [-4]]).ravel().tolist() == list(record.blobs[0].data)


@pytest.mark.parametrize(
    ("blob", "problem"),
    [
        (field(6, singles(VALUES)), r"gradients \(diff\)"),
        (field(9, doubles(VALUES)), r"gradients \(diff\)"),
        # NVIDIA's raw_data of integers, raw_data of another length, and what Ascend, Xilinx and Cambricon keep there.
        (field(10, 3) + field(12, singles(VALUES)), "no values in a known form"),
        (field(10, 2) + field(12, singles(VALUES)), "no values in a known form"),
        (field(10, b"\x01\x02\x03\x04\x05\x06") + field(12, singles(VALUES)), "no values in a known form"),
        (field(10, 1) + field(12, 7), "no values in a known form"),
    ],
)
def test_a_blob_without_numbers_stops_what_uses_it_and_nothing_else(blob: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=f"layer i, blob 0: holds {problem}"):
        nets.fuse(PROTOTXT, weights=weights(blob + SHAPE), half_policy="ieee")
    plain = nets.text(nets.layer("r", "ReLU", "x", "r"), shape=(1, 3))
    content = layer("i", blob + SHAPE) + layer("r", kind="ReLU")
    assert content == nets.fuse(plain, weights=content).weights


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3), (1, 300, 1, 1)])
def test_a_shape_is_encoded_as_protobuf_does(shape: Tuple[int, ...]) -> None:
    expected = schema.new("BlobProto")
    expected.shape.SetInParent()
    expected.shape.dim.extend(shape)
    assert expected.SerializeToString() == encoded_around(ArrayBlob(np.zeros(shape, np.float32)), False)[1]


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32, FLOAT64])
@pytest.mark.parametrize("legacy", [False, True])
def test_what_is_encoded_is_read(dtype: np.dtype, legacy: bool) -> None:
    numbers = NUMBERS.astype(dtype).reshape(1, 2, 3, 1)
    before, after = encoded_around(ArrayBlob(numbers), legacy)
    blob = scan(layer("c", before + numbers.tobytes() + after)).layers[0].blobs[0]
    assert (dtype, legacy, numbers.tolist()) == (blob.dtype, blob.legacy, blob.array().tolist())
