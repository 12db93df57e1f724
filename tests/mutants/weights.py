"""Faults in caffe_fuse/weights/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

BLOBPROTO = "weights/blobproto.py"
CAFFEMODEL = "weights/caffemodel.py"
CAFFEMODEL_WRITER = "weights/caffemodel_writer.py"
HDF5 = "weights/hdf5.py"
HDF5_WRITER = "weights/hdf5_writer.py"

TEST_GENERATIONS = "tests/generations/test_generations.py"
TEST_BLOBPROTO = "tests/weights/test_blobproto.py"
TEST_CAFFEMODEL = "tests/weights/test_caffemodel.py"
TEST_HDF5 = "tests/weights/test_hdf5.py"
TEST_WRITER = "tests/weights/test_writer.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a scalar has a size",
        BLOBPROTO,
        'wire.delimited(_DIM, dims) if dims else b"")',
        "wire.delimited(_DIM, dims))",
        TEST_BLOBPROTO + "::test_a_shape_is_encoded_as_protobuf_does",
    ),
    Mutant(
        "numbers with a key each taken for packed ones",
        BLOBPROTO,
        "Span(field.value_start, field.repeats, field.stride)",
        "Span(field.value_start, field.repeats, width)",
        TEST_BLOBPROTO + "::test_a_fold_reads_every_encoding_and_writes_float32_while_others_stay_as_they_are",
    ),
    Mutant(
        "raw floats taken for doubles",
        BLOBPROTO,
        "{0: FLOAT64, 1: FLOAT32,",
        "{1: FLOAT64, 0: FLOAT32,",
        TEST_BLOBPROTO + "::test_a_fold_reads_every_encoding_and_writes_float32_while_others_stay_as_they_are",
    ),
    Mutant(
        "the bias of a V0 record not said",
        CAFFEMODEL_WRITER,
        "        if generation.nested:\n            exchanged[generation.bias_term]",
        "        if False:\n            exchanged[generation.bias_term]",
        TEST_GENERATIONS + "::test_a_v0_net_stays_one_and_only_what_changes_is_edited",
    ),
    Mutant(
        "a soft link is followed anywhere in the file",
        HDF5,
        'if target.startswith(b"/") and steps[:1] != [b"data"]:',
        "if not steps:",
        TEST_HDF5,
    ),
    Mutant(
        "a dataset is believed to hold what its shape says",
        HDF5,
        "if size > held * densest:",
        "if size < 0:",
        TEST_HDF5,
    ),
)
