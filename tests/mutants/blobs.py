"""Faults in caffe_fuse/blobs/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

SCALED = "blobs/scaled.py"

TEST_WRITTEN_VALUES = "tests/emit/test_written_values.py"
TEST_FOLD = "tests/passes/test_fold.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "halves are rounded to float32 first",
        SCALED,
        "return ScaledBlob(self.base, self.layout, self.factors, dtype, self.further)",
        "return ScaledBlob(self, Layout(1, 1, 1, self.count), np.ones(1), dtype)",
        "tests/weights/test_formats.py",
    ),
    Mutant(
        "the groups of a deconvolution interleaved",
        SCALED,
        "    first = group * outputs + row\n",
        "    first = group + row * layout.groups\n",
        TEST_FOLD + "::test_every_weight_layer_absorbs",
    ),
    Mutant(
        "factors rounded to float32 before they multiply",
        SCALED,
        "self.factors = np.array(factors, FLOAT64)",
        "self.factors = np.array(factors, FLOAT32).astype(FLOAT64)",
        TEST_WRITTEN_VALUES + "::test_every_number_of_a_recorded_net_is_rounded_once[fold-conv-g2-nobias-apart]",
    ),
)
