"""Faults in caffe_fuse/emit/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

DROPPED = "emit/dropped.py"
FORMATS = "emit/formats.py"
RECORDS = "emit/records.py"

TEST_EMIT = "tests/emit/test_emit.py"
TEST_BATCH_NORM = "tests/layers/test_batch_norm.py"
TEST_FOLD = "tests/passes/test_fold.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "layers of another phase never dropped",
        DROPPED,
        "        if reads or writes or layer.name in gone:\n",
        "        if False:\n",
        TEST_FOLD + "::test_a_layer_of_another_phase_that_reads_inside_a_folded_chain_is_dropped",
    ),
    Mutant(
        "HDF5 holds shared numbers at their last user",
        FORMATS,
        "for layer, place in pairs[1:]}",
        "for layer, place in pairs[:-1]}",
        "tests/weights/test_formats.py",
    ),
    Mutant(
        "a new layer at the end of the weight file",
        RECORDS,
        "    return places[-1] + 1 if places else 0",
        "    return len(entries)",
        TEST_BATCH_NORM + "::test_a_relu_inside_a_converted_batch_norm_follows_the_scale",
    ),
    Mutant(
        "the old record of a changed layer kept",
        RECORDS,
        "            record.name in taken ",
        "            record.name is taken ",
        TEST_EMIT + "::test_of_two_records_of_a_changed_layer_one_is_left",
    ),
)
