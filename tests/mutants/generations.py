"""Faults in caffe_fuse/generations/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

TYPE_NAMES = "generations/type_names.py"
V0 = "generations/v0.py"

TEST_GENERATIONS = "tests/generations/test_generations.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "the types of V1 one number off",
        TYPE_NAMES,
        "_V1_TYPES[v1_type] if 0 <= v1_type",
        "_V1_TYPES[v1_type - 1] if 0 <= v1_type",
        TEST_GENERATIONS + "::test_a_v1_type_is_found_by_number_as_by_name",
    ),
    Mutant(
        "the padding of V0 forgotten",
        V0,
        "    result.layer.pad = padding.layer.pad\n",
        "",
        TEST_GENERATIONS + "::test_padding_is_a_part_of_the_layer_that_reads_it",
    ),
)
