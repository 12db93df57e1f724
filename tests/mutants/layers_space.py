"""Faults in caffe_fuse/layers/: what slides a window over images, or looks at neighbours."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CONVOLUTION = "layers/convolution.py"

TEST_FOLD = "tests/passes/test_fold.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a deconvolution scaled along its inputs",
        CONVOLUTION,
        "    return Layout(group, shape[0] // group, shape[1], prod(shape[2:]))",
        "    return Layout(1, 1, outputs, prod(shape) // outputs)",
        TEST_FOLD + "::test_every_weight_layer_absorbs",
    ),
    Mutant(
        "the powers of the first group for all",
        CONVOLUTION,
        "first // (shape[0] // groups) * shape[1] + second",
        "second",
        "tests/passes/test_layer_powers.py",
    ),
)
