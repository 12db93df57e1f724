"""Faults in caffe_fuse/layers/batch_norm/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

DIALECT = "layers/batch_norm/dialect.py"
READ = "layers/batch_norm/read.py"
SETTINGS = "layers/batch_norm/settings.py"
TABLE = "layers/batch_norm/table.py"

TEST_BATCH_NORM = "tests/layers/test_batch_norm.py"
TEST_FOLD = "tests/passes/test_fold.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "the mean added",
        DIALECT,
        "shift = statistics.shift - statistics.mean * scale",
        "shift = statistics.shift + statistics.mean * scale",
        TEST_FOLD + "::test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "no square root",
        READ,
        "return Statistics(mean, np.sqrt(radicand), scale,",
        "return Statistics(mean, radicand, scale,",
        TEST_FOLD + "::test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "eps outside the square root",
        READ,
        "return Statistics(mean, np.sqrt(radicand), scale,",
        "return Statistics(mean, np.sqrt(variance) + eps, scale,",
        TEST_FOLD + "::test_every_kind_of_affine_layer_folds",
    ),
    Mutant(
        "the default eps whatever the net says",
        READ,
        "    return single(parameter.batch_norm_param.eps)\n",
        "    return single(1e-5)\n",
        TEST_FOLD + "::test_every_kind_of_affine_layer_folds",
    ),
    Mutant(
        "the moving average factor ignored",
        READ,
        "return np.zeros_like(total) if divisor == 0 else total / divisor",
        "return np.zeros_like(total) if divisor == 0 else total",
        TEST_FOLD + "::test_a_chain_in_place_keeps_its_one_name",
    ),
    Mutant(
        "the moving average factor inverted",
        READ,
        "return np.zeros_like(total) if divisor == 0 else total / divisor",
        "return np.zeros_like(total) if divisor == 0 else total * divisor",
        TEST_FOLD + "::test_a_chain_in_place_keeps_its_one_name",
    ),
    Mutant(
        "a factor of 0 taken for 1",
        READ,
        "return np.zeros_like(total) if divisor == 0 else total / divisor",
        "return total / (divisor or 1)",
        TEST_FOLD + "::test_a_factor_of_zero_means_that_mean_and_variance_are_zero",
    ),
    Mutant(
        "NVIDIA's eps not raised",
        READ,
        "max(_eps(parameter), single(1e-5))",
        "_eps(parameter)",
        TEST_BATCH_NORM + "::test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "SegNet folded in the mode that learns",
        READ,
        "    if settings.bn_mode != settings.INFERENCE:\n        return Refusal",
        "    if False:\n        return Refusal",
        TEST_BATCH_NORM + "::test_what_has_no_affine_is_refused",
    ),
    Mutant(
        "SenseTime's eps taken from PSPNet",
        READ,
        'roles["variance"], var_eps(parameter))',
        'roles["variance"], bn_eps(parameter))',
        TEST_BATCH_NORM + "::test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "an inverse deviation taken for a deviation",
        READ,
        '1 / roles["inverse"]',
        'roles["inverse"]',
        TEST_BATCH_NORM + "::test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "the eps of Synopsys always inside the root",
        READ,
        'settings.HasField("add_eps_before_sqrt") and not settings.add_eps_before_sqrt:',
        'settings.HasField("add_eps_before_sqrt") and None:',
        TEST_BATCH_NORM + "::test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "use_global_stats ignored",
        SETTINGS,
        "        return bool(settings.use_global_stats)\n",
        "        return True\n",
        TEST_FOLD + "::test_batch_statistics_are_refused",
    ),
    Mutant(
        "the phase of a BatchNorm ignored",
        SETTINGS,
        "    return is_test(parameter) if unset is None else unset\n",
        "    return True\n",
        TEST_FOLD + "::test_without_use_global_stats_the_phase_decides",
    ),
    Mutant(
        "NVIDIA's correction taken for a factor",
        TABLE,
        '_CUDNN = "mean variance correction scale shift"',
        '_CUDNN = "mean variance factor scale shift"',
        TEST_BATCH_NORM + "::test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "the blobs of NVIDIA 0.15 in the order of 0.16",
        TABLE,
        '("scale shift mean variance reserved",)',
        '("mean variance scale shift reserved",)',
        TEST_BATCH_NORM + "::test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "Intel's factor not used",
        TABLE,
        '(_THREE, f"{_THREE} scale", f"{_THREE} scale shift"),\n'
        '        _PLAIN | {"use_weight_bias", "bias_term", "filler", "bias_filler", "relu"},\n'
        "        read.factored",
        '(_THREE, f"{_THREE} scale", f"{_THREE} scale shift"),\n'
        '        _PLAIN | {"use_weight_bias", "bias_term", "filler", "bias_filler", "relu"},\n'
        "        read.digits",
        TEST_BATCH_NORM + "::test_a_dialect_folds_as_its_caffe_computes",
    ),
)
