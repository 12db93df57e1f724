"""Faults in caffe_fuse/half/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CHANNELS = "half/channels.py"
CLASSES = "half/classes.py"
INFLUENCE = "half/influence.py"
LOST_CHANNELS = "half/lost_channels.py"
MEASURES = "half/measures.py"
METER = "half/meter.py"
ROUNDING = "half/rounding.py"
SAMPLING = "half/sampling.py"
TARGETS = "half/targets.py"

TEST_CHANNELS = "tests/half/test_channels.py"
TEST_CLASSES = "tests/half/test_classes.py"
TEST_HALF = "tests/half/test_half.py"
TEST_LOSSES = "tests/half/test_losses.py"
TEST_METER = "tests/half/test_meter.py"
TEST_ROUNDING = "tests/half/test_rounding.py"
TEST_TARGETS = "tests/half/test_targets.py"
TEST_PROOF = "tests/passes/test_proof.py"
TEST_EFFECTS = "tests/rescale/test_effects.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "the margin counts half powers of two",
        CHANNELS,
        "np.floor(np.log2(LARGEST / self.max_abs))",
        "np.floor(2 * np.log2(LARGEST / self.max_abs))",
        TEST_CHANNELS,
    ),
    Mutant(
        "an infinity leaves its channel its signal",
        CHANNELS,
        "self.nan + self.inf > 0",
        "self.nan > 0",
        TEST_CHANNELS + "::test_the_ratio_of_signal_to_noise",
    ),
    Mutant(
        "a chunk begins with a whole run of its channel",
        CHANNELS,
        "np.arange(-(position % kernel), size, kernel)",
        "np.arange(-position % kernel, size, kernel)",
        TEST_CHANNELS + "::test_where_a_chunk_ends_makes_no_difference",
    ),
    Mutant(
        "the first number of a run belongs to the channel before",
        CHANNELS,
        'side="right") - 1',
        'side="left") - 1',
        TEST_CHANNELS + "::test_every_number_is_that_of_the_definition",
    ),
    Mutant(
        "what a device clips to 65504 is safe",
        CLASSES,
        "finite & (magnitudes >= OVERFLOW)",
        "finite & np.isinf(fp16)",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "65504 is clipped",
        CLASSES,
        "(magnitudes > LARGEST)",
        "(magnitudes >= LARGEST)",
        TEST_CLASSES + "::test_classify_agrees_with_the_definition",
    ),
    Mutant(
        "65520 is clipped, and no overflow",
        CLASSES,
        "finite & (magnitudes >= OVERFLOW)",
        "finite & (magnitudes > OVERFLOW)",
        TEST_CLASSES + "::test_classify_agrees_with_the_definition",
    ),
    Mutant(
        "the bias no part of a sum",
        INFLUENCE,
        "                found += measure(blob",
        "                found += 0 * measure(blob",
        TEST_EFFECTS,
    ),
    Mutant(
        "a dead reader taken for alive",
        INFLUENCE,
        "np.where(alive, sums, np.inf)",
        "sums",
        TEST_EFFECTS,
    ),
    Mutant(
        "the numbers of a channel are those of the next one",
        INFLUENCE,
        "found: np.ndarray = energies[channels] * gains[own]",
        "found: np.ndarray = energies[channels - 1] * gains[own]",
        TEST_EFFECTS,
    ),
    Mutant(
        "what no power of two passes through can be dead",
        INFLUENCE,
        "        dead[0] = False\n",
        "",
        TEST_EFFECTS + "::test_what_the_net_reads_is_never_dead",
    ),
    Mutant(
        "an energy moves by the power, not by its square",
        INFLUENCE,
        "np.ldexp(1.0, 2 * (",
        "np.ldexp(1.0, (",
        TEST_EFFECTS + "::test_powers_of_two_change_nothing_about_what_is_dead",
    ),
    Mutant(
        "a number that is lost in a BatchNorm is of channel 0",
        LOST_CHANNELS,
        "channels_of(layer, index) or Layout(1, 1, 1, blob.count)",
        "layout or Layout(1, 1, 1, blob.count)",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "an overflow that does no harm",
        LOST_CHANNELS,
        "loss._replace(channels=np.union1d(loss.overflow, poor))",
        "loss._replace(channels=poor)",
        TEST_LOSSES + "::test_an_overflow_is_never_harmless",
    ),
    Mutant(
        "a bound of 65520 stays finite",
        LOST_CHANNELS,
        "known.bound(blob) < LARGEST",
        "known.bound(blob) <= OVERFLOW",
        TEST_LOSSES + "::test_a_recipe_that_reaches_65520_overflows",
    ),
    Mutant(
        "a NaN does not overflow",
        LOST_CHANNELS,
        "np.flatnonzero(~(np.abs(chunk) < OVERFLOW))",
        "np.flatnonzero(np.abs(chunk) >= OVERFLOW)",
        TEST_LOSSES + "::test_what_overflows_is_of_its_channel_wherever_a_chunk_ends",
    ),
    Mutant(
        "the channels of a chunk are counted from its start",
        LOST_CHANNELS,
        "layout.channel(places + position)",
        "layout.channel(places)",
        TEST_LOSSES + "::test_what_overflows_is_of_its_channel_wherever_a_chunk_ends",
    ),
    Mutant(
        "the bias of a layer is judged as IEEE 754 has it",
        LOST_CHANNELS,
        "rounded(bias, policy) - bias",
        "rounded(bias) - bias",
        TEST_LOSSES + "::test_what_is_lost_of_a_small_bias_is_up_to_the_device",
    ),
    Mutant(
        "a few small weights are in no doubt",
        LOST_CHANNELS,
        "policy.small_error**2 * RATIO",
        "policy.small_error * policy.small_error",
        TEST_LOSSES + "::test_a_channel_of_tiny_weights_is_lost",
    ),
    Mutant(
        "weights are lost as IEEE 754 has it whatever the device",
        LOST_CHANNELS,
        "by_channel(blob, layout, policy, doubtful)",
        "by_channel(blob, layout, IEEE, doubtful)",
        TEST_LOSSES + "::test_what_is_lost_of_small_weights_is_up_to_the_device",
    ),
    Mutant(
        "of what is kept the first number of the next chunk is taken",
        MEASURES,
        "np.searchsorted(wanted, (position, position + len(chunk)))\n            kept",
        'np.searchsorted(wanted, (position, position + len(chunk)), side="right")\n            kept',
        TEST_HALF + "::test_elements_that_are_wanted_are_kept_as_they_go_by",
    ),
    Mutant(
        "a bound forgets that factors may be negative",
        MEASURES,
        "np.abs(each.factors).max()",
        "each.factors.max()",
        TEST_HALF + "::test_no_number_of_a_recipe_exceeds_its_bound",
    ),
    Mutant(
        "a large blob is measured as IEEE 754 rounds",
        MEASURES,
        "meter = Meter(buffer, self.policy)",
        "meter = Meter(buffer)",
        TEST_HALF + "::test_a_policy_sees_a_long_blob_as_its_numbers_one_by_one",
    ),
    Mutant(
        "small blobs are measured as IEEE 754 rounds",
        MEASURES,
        "for blob in small], self.policy)",
        "for blob in small])",
        TEST_HALF + "::test_each_policy_at_its_edge",
    ),
    Mutant(
        "the meter keeps subnormals that the device flushes",
        METER,
        'if self._policy.subnormals == "flushed":',
        "if False:",
        TEST_METER + "::test_many_random_numbers_agree_with_rounding_them_all",
    ),
    Mutant(
        "a truncated value is as near as a rounded one",
        METER,
        '"truncate": (2.0**-10, 2.0**-10)',
        '"truncate": (1 / 2049, 2.0**-11)',
        TEST_METER + "::test_many_random_numbers_agree_with_rounding_them_all",
    ),
    Mutant(
        "the base of a recipe is read for itself as well",
        MEASURES,
        "bases = {blob.base for blob in new if isinstance(blob, ScaledBlob)}",
        "bases = set()",
        "tests/folding/test_one_pass.py",
    ),
    Mutant(
        "halves below the normal ones tie away from zero",
        METER,
        "(np.rint if self._policy.rounding",
        "((lambda x: np.floor(x + 0.5)) if self._policy.rounding",
        TEST_CLASSES + "::test_the_fast_way_of_the_meter_counts_the_same",
    ),
    Mutant(
        "the fast path asks for too large an error",
        METER,
        "self._step / self._error",
        "self._step / 2 / self._error",
        TEST_CLASSES + "::test_the_fast_way_of_the_meter_counts_the_same",
    ),
    Mutant(
        "a float64 has a bit less than a half has no room for",
        METER,
        '("u8", 52, 42)',
        '("u8", 52, 41)',
        TEST_METER + "::test_at_and_beside_each_midpoint_of_two_halves_numbers_round_as_in_numpy",
    ),
    Mutant(
        "a float32 has a bit less than a half has no room for",
        METER,
        '("u4", 23, 13)',
        '("u4", 23, 12)',
        TEST_METER + "::test_at_and_beside_each_midpoint_of_two_halves_numbers_round_as_in_numpy",
    ),
    Mutant(
        "the last element of a chunk not looked at",
        METER,
        "self._add_normal(chunk, magnitude, _SAMPLE, chunk.size)",
        "self._add_normal(chunk, magnitude, _SAMPLE, chunk.size - 1)",
        TEST_METER + "::test_a_tiny_error_does_not_hide_a_larger_one_behind_it",
    ),
    Mutant(
        "places counted from the sample on",
        METER,
        "np.flatnonzero(chosen) + start",
        "np.flatnonzero(chosen)",
        TEST_METER + "::test_many_random_numbers_agree_with_rounding_them_all",
    ),
    Mutant(
        "a normal number before a small one of the same error is not the first",
        METER,
        "            return self._lossiest.index >= self._count\n",
        "            return False\n",
        TEST_METER + "::test_of_equally_bad_elements_the_first_is_the_worst_whatever_their_class",
    ),
    Mutant(
        "65520 counts as clipped",
        METER,
        "int(np.count_nonzero(magnitude >= OVERFLOW))",
        "int(np.count_nonzero(magnitude > OVERFLOW))",
        TEST_METER + "::test_at_and_beside_each_midpoint_of_two_halves_numbers_round_as_in_numpy",
    ),
    Mutant(
        "an overflow is worse than a NaN",
        METER,
        "self._first_not_finite or self._largest or self._lossiest",
        "self._largest or self._first_not_finite or self._lossiest",
        TEST_METER + "::test_the_worst_element_is_the_first_nan_or_infinity",
    ),
    Mutant(
        "a NaN hides the smallest number",
        METER,
        "if not lowest > 0:",
        "if lowest == 0:",
        TEST_METER + "::test_the_worst_element_is_the_first_nan_or_infinity",
    ),
    Mutant(
        "what is small is as exact where it is flushed",
        ROUNDING,
        '        if self.subnormals == "flushed":\n            return SMALLEST_NORMAL\n',
        "",
        TEST_LOSSES + "::test_what_is_lost_of_small_weights_is_up_to_the_device",
    ),
    Mutant(
        "what is truncated is off by half a step",
        ROUNDING,
        '2.0**-25 if self.rounding == "nearest" else 2.0**-24',
        '2.0**-24 if self.rounding == "nearest" else 2.0**-25',
        TEST_ROUNDING + "::test_a_small_number_is_off_by_no_more_than_the_policy_says_and_nearly_by_that",
    ),
    Mutant(
        "a sum with a power of two itself leaves a bit more of what is below 0",
        ROUNDING,
        " + (1 << (form.fraction - 1))",
        "",
        TEST_ROUNDING + "::test_rounding_is_that_of_numpy_near_every_fp16_value",
    ),
    Mutant(
        "0 loses its sign",
        ROUNDING,
        "        np.copysign(fp16, x, out=fp16)",
        "        pass",
        TEST_ROUNDING + "::test_rounding_is_that_of_numpy_near_every_fp16_value",
    ),
    Mutant(
        "float64 is rounded to float32 first",
        ROUNDING,
        "_nearest(np.asarray(array))",
        "_nearest(np.asarray(array).astype(np.float32)).astype(array.dtype)",
        TEST_ROUNDING + "::test_a_double_is_rounded_once",
    ),
    Mutant(
        "65536 is truncated to the largest half",
        ROUNDING,
        "(magnitudes < 2.0**16)",
        "(magnitudes <= 2.0**16)",
        TEST_ROUNDING + "::test_where_numbers_overflow",
    ),
    Mutant(
        "a flushed number loses its sign",
        ROUNDING,
        "< SMALLEST_NORMAL] *= 0",
        "< SMALLEST_NORMAL] = 0",
        TEST_ROUNDING + "::test_what_is_flushed_keeps_its_sign",
    ),
    Mutant(
        "ncnn keeps subnormals",
        TARGETS,
        'rounding="truncate", subnormals="flushed"',
        'rounding="truncate"',
        TEST_TARGETS + "::test_what_a_target_makes_of_a_number",
    ),
    Mutant(
        "what rounds up to a normal half counts as subnormal",
        METER,
        "int(np.count_nonzero(fp16 < SMALLEST_NORMAL)) - underflow",
        "int(np.count_nonzero(values < SMALLEST_NORMAL)) - underflow",
        TEST_CLASSES + "::test_the_fast_way_of_the_meter_counts_the_same",
    ),
    Mutant(
        "the smallest normal half is subnormal",
        CLASSES,
        "(fp16 < SMALLEST_NORMAL)",
        "(fp16 <= SMALLEST_NORMAL)",
        TEST_CLASSES + "::test_classify_agrees_with_the_definition",
    ),
    Mutant(
        "sampled weights come back in the order of the file",
        SAMPLING,
        "    weights[order] = measures.take(blob, flat[order])\n",
        "    weights[:] = measures.take(blob, flat[order])\n",
        TEST_PROOF + "::test_the_right_numbers_pass",
    ),
    Mutant(
        "what rounds to 2^16 stays finite",
        ROUNDING,
        "may_overflow = m.max() >= form.last",
        "may_overflow = m.max() >= form.most",
        TEST_ROUNDING,
    ),
)
