"""Faults in caffe_fuse/ranges/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CALIBRATE = "ranges/calibrate.py"
EXPECTED = "ranges/expected.py"
PREDICT = "ranges/predict.py"
SUMS = "ranges/sums.py"

TEST_CALIBRATION = "tests/ranges/test_calibration.py"
TEST_PREDICTION = "tests/ranges/test_prediction.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "channels without numbers have an end",
        CALIBRATE,
        "return [end if np.isfinite(end) else None for end in ends.tolist()]",
        "return [end if np.isfinite(end) else 0.0 for end in ends.tolist()]",
        TEST_CALIBRATION + "::test_what_is_written_is_read_again",
    ),
    Mutant(
        "infinity and NaN have a power of two",
        CALIBRATE,
        "np.flatnonzero(counts[:255])",
        "np.flatnonzero(counts)",
        TEST_CALIBRATION + "::test_property_numbers_are_of_the_kinds_that_numpys_halves_are",
    ),
    Mutant(
        "what reaches 65520 is expected to be finite",
        EXPECTED,
        "np.flatnonzero(self.range.magnitudes >= OVERFLOW)",
        "np.flatnonzero(self.range.magnitudes > OVERFLOW)",
        TEST_PREDICTION + "::test_overflow_and_subnormal_begin_where_half_has_them",
    ),
    Mutant(
        "a channel of 2^-14 is subnormal",
        EXPECTED,
        "(magnitudes < SMALLEST_NORMAL)",
        "(magnitudes <= SMALLEST_NORMAL)",
        TEST_PREDICTION + "::test_overflow_and_subnormal_begin_where_half_has_them",
    ),
    Mutant(
        "a range that powers of two have moved is as it was",
        EXPECTED,
        "later[value] = multiplied(known[source], exponents)",
        "later[value] = known[source]",
        TEST_PREDICTION + "::test_rescaled_channels_are_predicted_with_their_powers",
    ),
    Mutant(
        "a negative scale turns a range",
        PREDICT,
        "reach = sigmas * np.abs(deviation)",
        "reach = sigmas * deviation",
        TEST_PREDICTION + "::test_a_batch_norm_that_scales_itself_turns_with_a_scale_below_0",
    ),
    Mutant(
        "channels of ranges multiplied along another axis",
        PREDICT,
        "    if exponents.axis == 1:\n",
        "    if exponents.axis:\n",
        TEST_PREDICTION + "::test_powers_on_another_axis_than_the_channels_widen_the_whole_range",
    ),
    Mutant(
        "signed weights in the bound of a sum",
        SUMS,
        "np.abs(blob.array()).astype(np.float32)",
        "blob.array().astype(np.float32)",
        TEST_PREDICTION,
    ),
    Mutant(
        "a sum that reaches 65520 stays finite",
        SUMS,
        "np.flatnonzero(self.bounds >= OVERFLOW)",
        "np.flatnonzero(self.bounds > OVERFLOW)",
        TEST_PREDICTION + "::test_a_sum_that_may_reach_65520_overflows",
    ),
    Mutant(
        "a piece is counted from its first number on",
        CALIBRATE,
        "self._count_elements(flat[first : first + _PIECE])",
        "self._count_elements(flat[:_PIECE])",
        TEST_CALIBRATION + "::test_numbers_are_counted_in_every_piece",
    ),
    Mutant(
        "what a BatchNorm has measured goes beyond what can be",
        PREDICT,
        "        settled = Range(*(np.minimum(np.maximum(ends, limits.lows), limits.highs) for ends in settled))\n",
        "",
        TEST_PREDICTION + "::test_what_a_batch_norm_measured_stays_within_what_is_possible",
    ),
    Mutant(
        "powers of two one too small",
        CALIBRATE,
        "self.histogram[biased - 127] = self.histogram.get(biased - 127, 0)",
        "self.histogram[biased - 128] = self.histogram.get(biased - 128, 0)",
        TEST_CALIBRATION + "::test_property_numbers_are_of_the_kinds_that_numpys_halves_are",
    ),
    Mutant(
        "the power of two of 65520 is not looked at",
        CALIBRATE,
        "counts[_biased_exponent(LARGEST) :].any()",
        "counts[_biased_exponent(LARGEST) + 1 :].any()",
        TEST_CALIBRATION + "::test_property_numbers_are_of_the_kinds_that_numpys_halves_are",
    ),
    Mutant(
        "the last piece counts alone",
        CALIBRATE,
        "self.histogram[exponent] = self.histogram.get(exponent, 0) + count",
        "self.histogram[exponent] = count",
        TEST_CALIBRATION + "::test_runs_merge_to_what_one_run_gives",
    ),
    Mutant(
        "variance for deviation",
        PREDICT,
        "np.sqrt(np.maximum(statistics.variance, 0))",
        "np.maximum(statistics.variance, 0)",
        TEST_PREDICTION,
    ),
    Mutant(
        "runs that merge keep the wider lower end only",
        CALIBRATE,
        "np.maximum(mine.highs, other.highs)",
        "mine.highs",
        TEST_CALIBRATION,
    ),
    Mutant(
        "nothing recorded leaves one channel",
        "ranges/calibrate.py",
        "        if not other.count:  # its range is of no channels in particular\n            return\n",
        "",
        TEST_CALIBRATION + "::test_a_batch_in_which_a_value_has_no_elements_leaves_the_channels_of_the_others",
    ),
)
