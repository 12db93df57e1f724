"""Faults in caffe_fuse/rescale/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

DESCENT = "rescale/descent.py"
RESCALE = "rescale/rescale.py"

TEST_BALANCE = "tests/rescale/test_balance.py"
TEST_RESCALE = "tests/rescale/test_rescale.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "numbers that overflow by rounding taken to fit",
        DESCENT,
        "_HALF_STEP = 1 << 12",
        "_HALF_STEP = 0",
        TEST_BALANCE + "::test_overflow_begins_where_it_does_in_half",
    ),
    Mutant(
        "columns gain what rows gain",
        DESCENT,
        "            bins -= self._spread(",
        "            bins += self._spread(",
        TEST_BALANCE + "::test_histograms_hold_the_largest_of_each_kernel",
    ),
    Mutant(
        "a kernel counted once",
        DESCENT,
        "                counts *= self.kernels.size\n",
        "                counts *= 1\n",
        TEST_BALANCE + "::test_histograms_hold_the_largest_of_each_kernel",
    ),
    Mutant(
        "powers of two lead out of float32",
        RESCALE,
        "_not_finite(repair.net.layers, measures) - broken",
        "set()",
        "tests/test_hostile.py",
    ),
    Mutant(
        "exponents of the wrong sign in the report",
        RESCALE,
        "{name: exponents for name, exponents in by_blob.items() if any(exponents)}",
        "{name: tuple(-one for one in exponents) for name, exponents in by_blob.items() if any(exponents)}",
        TEST_RESCALE + "::test_a_net_is_repaired_and_its_outputs_are_the_same_to_the_last_bit",
    ),
    Mutant(
        "what activations need ignored",
        RESCALE,
        "    largest, measures = largest or {}, measures or Measures()\n",
        "    largest, measures = {}, measures or Measures()\n",
        TEST_RESCALE + "::test_ranges_of_activations_count_as_well",
    ),
)
