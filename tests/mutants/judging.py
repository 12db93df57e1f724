"""Faults in caffe_fuse/judging/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

AGREEMENT = "judging/agreement.py"
ANSWERS = "judging/answers.py"
COMPARE = "judging/compare.py"
DETECTIONS = "judging/detections.py"
LOCKSTEP = "judging/lockstep.py"
NOISE = "judging/noise.py"
OUTCOME = "judging/outcome.py"
PROBLEMS = "judging/problems.py"

TEST_AGREEMENT = "tests/judging/test_agreement.py"
TEST_ANSWERS = "tests/judging/test_answers.py"
TEST_COMPARISON = "tests/judging/test_comparison.py"
TEST_DETECTIONS = "tests/judging/test_detections.py"
TEST_LOCKSTEP = "tests/judging/test_lockstep.py"
TEST_NOISE = "tests/judging/test_noise.py"
TEST_VERDICT = "tests/judging/test_verdict.py"

TEST_TARGET_FILES = "tests/targets/test_files_and_names.py"
MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "any row of numbers is a row of classes",
        AGREEMENT,
        "if not self.is_classes or values.ndim < 2",
        "if values.ndim < 2",
        TEST_ANSWERS + "::test_a_row_of_numbers_that_are_no_classes_has_no_top_class",
    ),
    Mutant(
        "decibels of amplitudes",
        AGREEMENT,
        "float(10 * np.log10(np.float64(self.truth)",
        "float(20 * np.log10(np.float64(self.truth)",
        TEST_AGREEMENT + "::test_a_ratio_of_ten_in_the_numbers_is_20_decibels",
    ),
    Mutant(
        "arrays of zeros are not alike",
        AGREEMENT,
        "/ lengths if lengths else 1.0",
        "/ lengths if lengths else 0.0",
        TEST_AGREEMENT + "::test_the_cosine_is_of_the_angle_and_1_without_one",
    ),
    Mutant(
        "only the first part of two arrays is compared",
        AGREEMENT,
        "max(total.max_abs, part.max_abs),",
        "total.max_abs or part.max_abs,",
        TEST_AGREEMENT + "::test_a_distance_is_of_all_elements_wherever_they_are",
    ),
    Mutant(
        "what overflows in the net itself must not in another",
        AGREEMENT,
        "held = np.isfinite(own) == np.isfinite(truth)",
        "held = np.ones(own.shape, bool)",
        TEST_AGREEMENT + "::test_where_the_net_itself_overflows_another_may_be_anything",
    ),
    Mutant(
        "two nets of the same bits are within any tolerance",
        COMPARE,
        "return self._tolerance is None and is_plain",
        "return is_plain",
        TEST_LOCKSTEP + "::test_a_tolerance_is_of_float64_also_for_the_same_bits",
    ),
    Mutant(
        "float64 runs for nets of the same bits",
        COMPARE,
        "self._exact.skip(name)",
        "self._exact.take(name)",
        TEST_LOCKSTEP + "::test_float64_runs_no_further_than_to_the_last_blob_that_differs",
    ),
    Mutant(
        "a blob that was skipped is kept",
        LOCKSTEP,
        "if passed not in self._skipped:",
        "if True:",
        TEST_LOCKSTEP + "::test_a_run_keeps_only_what_will_be_taken",
    ),
    Mutant(
        "what is not finite has a signal",
        AGREEMENT,
        "if not np.isfinite(self.found):",
        "if np.isinf(self.found):",
        TEST_AGREEMENT + "::test_what_is_not_finite_has_no_signal",
    ),
    Mutant(
        "two equal infinities are apart",
        AGREEMENT,
        "same = (found == truth) | (np.isnan",
        "same = (np.isnan",
        TEST_AGREEMENT + "::test_numbers_are_apart_where_only_one_is_finite",
    ),
    Mutant(
        "of equal classes the last is the first",
        AGREEMENT,
        'np.argsort(-row, kind="stable")[:RANKED]',
        'np.argsort(row, kind="stable")[::-1][:RANKED]',
        TEST_AGREEMENT + "::test_of_equal_classes_the_first_comes_first",
    ),
    Mutant(
        "a blob is of the kind of its first value",
        AGREEMENT,
        "    last = {value.blob: (value, layer) for layer in net.layers",
        "    last = {value.blob: (value, layer) for layer in net.layers[::-1]",
        TEST_COMPARISON + "::test_two_swapped_channels_are_found_where_they_begin",
    ),
    Mutant(
        "an answer made of clipped numbers is safe",
        ANSWERS,
        "precision.half.saturates:",
        "precision.half.saturates and False:",
        TEST_ANSWERS + "::test_an_answer_made_of_clipped_numbers_is_not_safe",
    ),
    Mutant(
        "what float32 does not have either is lost",
        ANSWERS,
        "broken & (np.isfinite(output.float32) if _fits(unclipped, output) else True)",
        "broken",
        TEST_ANSWERS + "::test_what_float32_does_not_have_is_not_lost",
    ),
    Mutant(
        "answers of the second net by the names of the first",
        ANSWERS,
        "names = [output.names[place] for output",
        "names = [output.names[0] for output",
        TEST_COMPARISON + "::test_nets_without_a_common_name_are_compared_by_their_outputs",
    ),
    Mutant(
        "an original that is exact by luck asks for exactness",
        COMPARE,
        "bound=max(row.bound, NOISE * noise.get(row.blob, 0.0))",
        "bound=row.bound",
        TEST_NOISE + "::test_an_original_that_is_exact_by_luck_asks_no_exactness",
    ),
    Mutant(
        "units in the last place of the numbers behind the ReLU",
        LOCKSTEP,
        "before = max(sizes[bottom] for bottom in net.bottoms(layer))",
        "before = 0.0",
        TEST_COMPARISON + "::test_a_blob_that_a_relu_ends_may_be_as_far_off_as_its_numbers_before",
    ),
    Mutant(
        "a tolerance is a number and no share",
        COMPARE,
        "row._replace(bound=tolerance * largest(truth))",
        "row._replace(bound=tolerance)",
        TEST_COMPARISON + "::test_a_tolerance_is_a_share_of_the_largest_magnitude",
    ),
    Mutant(
        "the first version of a blob in place is compared",
        LOCKSTEP,
        "value.blob in wanted and last.get(value.blob) == value:",
        "value.blob in wanted:",
        TEST_COMPARISON + "::test_of_a_blob_only_its_last_value_is_compared",
    ),
    Mutant(
        "a repair is done twice and not undone",
        COMPARE,
        "-np.expand_dims(powers, tuple",
        "np.expand_dims(powers, tuple",
        TEST_COMPARISON + "::test_a_repaired_net_is_compared_by_its_report",
    ),
    Mutant(
        "detections are compared by their place in the list",
        DETECTIONS,
        "place, other, away = _nearest(here, there)",
        "place, other, away = 0, 0, 0.0",
        TEST_DETECTIONS + "::test_of_one_class_the_nearest_boxes_belong_together",
    ),
    Mutant(
        "a detection that only one net has is left out",
        DETECTIONS,
        "np.array([*pairs, *unmatched])",
        "np.array(pairs)",
        TEST_DETECTIONS + "::test_what_only_one_has_is_of_score_0_in_the_other",
    ),
    Mutant(
        "a box that is half as large is the same thing",
        DETECTIONS,
        "sizes = np.maximum(*(",
        "sizes = np.minimum(*(",
        TEST_DETECTIONS + "::test_of_two_boxes_the_larger_says_how_far_they_may_be_off",
    ),
    Mutant(
        "things of other images are the same",
        DETECTIONS,
        "np.all(each[:, :_SCORE] == kind, axis=1)",
        "np.any(each[:, :_SCORE] == kind, axis=1)",
        TEST_DETECTIONS + "::test_the_same_things_in_another_order_are_the_same",
    ),
    Mutant(
        "halves are judged as float32",
        NOISE,
        "FLOAT16 if base.dtype == FLOAT16 else FLOAT32",
        "FLOAT32",
        TEST_NOISE + "::test_a_fold_that_is_stored_in_halves_is_the_same_net",
    ),
    Mutant(
        "every blob moves by the same numbers",
        NOISE,
        "(seed << 16) + len(made)",
        "seed",
        TEST_NOISE + "::test_blobs_of_the_same_numbers_move_each_in_its_own_way",
    ),
    Mutant(
        "weights move in one direction",
        NOISE,
        "(2 * random.randint(0, 2, chunk.size, np.int8) - 1)",
        "random.randint(0, 2, chunk.size, np.int8)",
        TEST_NOISE + "::test_each_number_goes_to_a_neighbour_in_its_type",
    ),
    Mutant(
        "shared weights move apart",
        NOISE,
        "            made.setdefault(blob, _MovedBlob(blob, (seed << 16) + len(made)))\n",
        "            made[blob] = _MovedBlob(blob, (seed << 16) + len(made))\n",
        TEST_NOISE + "::test_shared_numbers_stay_shared",
    ),
    Mutant(
        "an answer that half precision loses is safe",
        OUTCOME,
        "(*differing(self.first_difference), *answering(self.after, self.min_snr, self.remedy))",
        "(*differing(self.first_difference),)",
        TEST_ANSWERS,
    ),
    Mutant(
        "an SNR of NaN is enough",
        PROBLEMS,
        "not answer.snr >= min_snr",
        "answer.snr < min_snr",
        TEST_VERDICT + "::test_an_answer_without_a_ratio_is_below_every_one_that_is_asked_for",
    ),
    Mutant(
        "an infinite weight is not broken",
        PROBLEMS,
        "return row.stats.nan + row.stats.inf > 0",
        "return row.stats.nan > 0",
        TEST_VERDICT + "::test_what_is_not_finite_is_a_problem_of_the_weights",
    ),
    Mutant(
        "what becomes 0 is not flushed",
        PROBLEMS,
        "sum(row.stats.subnormal + row.stats.underflow for",
        "sum(row.stats.subnormal for",
        TEST_VERDICT + "::test_numbers_that_become_0_count_as_flushed",
    ),
    Mutant(
        "an answer without classes has another top class",
        PROBLEMS,
        "answer.top1 is False",
        "not answer.top1",
        TEST_ANSWERS + "::test_the_command_takes_a_least_snr",
    ),
    Mutant(
        "a single number is a class",
        AGREEMENT,
        "not 1 < values.shape[1] ==",
        "not 1 <= values.shape[1] ==",
        TEST_AGREEMENT + "::test_a_row_is_of_several_classes",
    ),
    Mutant(
        "an SNR against float32",
        ANSWERS,
        "aligned = kind.aligned(found, output.float64)",
        "aligned = kind.aligned(found, output.float32)",
        TEST_COMPARISON + "::test_an_answer_in_half_is_measured_against_float64",
    ),
    Mutant(
        "the best classes of half and float32 change places",
        ANSWERS,
        "zip(fp16, others))",
        "zip(others, fp16))",
        TEST_ANSWERS + "::test_the_largest_classes_of_both_are_told",
    ),
    Mutant(
        "the powers of a repair on the last axis",
        COMPARE,
        "tuple(range(1, values.ndim - axis))",
        "()",
        TEST_COMPARISON + "::test_a_repaired_net_is_compared_by_its_report",
    ),
    Mutant(
        "renamed blobs not compared",
        "judging/compare.py",
        "    names = {name: renamed.get(name, name) for name in made}\n",
        "    names = {name: name for name in made}\n",
        TEST_TARGET_FILES + "::test_a_layer_in_place_on_an_input_is_compared_under_its_new_name",
    ),
    Mutant(
        "an answer that half precision damages is called right",
        ANSWERS,
        "return not self.snr >= POOR",
        "return not self.snr >= -POOR",
        TEST_ANSWERS + "::test_a_rough_answer_is_told_where_no_limit_was_given",
    ),
)
