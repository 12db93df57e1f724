"""Faults in caffe_fuse/weights/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CAFFEMODEL_WRITER = "weights/caffemodel_writer.py"
HDF5 = "weights/hdf5.py"

TEST_GENERATIONS = "tests/generations/test_generations.py"

MUTANTS: Tuple[Mutant, ...] = (
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
        "tests/weights/test_hdf5.py",
    ),
    Mutant(
        "a dataset is believed to hold what its shape says",
        HDF5,
        "if size > held * densest:",
        "if size < 0:",
        "tests/weights/test_hdf5.py",
    ),
)
