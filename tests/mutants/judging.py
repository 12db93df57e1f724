"""Faults in caffe_fuse/judging/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

AGREEMENT = "judging/agreement.py"
ANSWERS = "judging/answers.py"
COMPARE = "judging/compare.py"
DETECTIONS = "judging/detections.py"
NOISE = "judging/noise.py"
OUTCOME = "judging/outcome.py"

TEST_ANSWERS = "tests/judging/test_answers.py"
TEST_DETECTIONS = "tests/judging/test_detections.py"
TEST_NOISE = "tests/judging/test_noise.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "any row of numbers is a row of classes",
        AGREEMENT,
        "if not self.is_classes or values.ndim < 2",
        "if values.ndim < 2",
        TEST_ANSWERS + "::test_a_row_of_numbers_that_are_no_classes_has_no_top_class",
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
        "an original that is exact by luck asks for exactness",
        COMPARE,
        "bound=max(row.bound, NOISE * noise.get(row.blob, 0.0))",
        "bound=row.bound",
        TEST_NOISE + "::test_an_original_that_is_exact_by_luck_asks_no_exactness",
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
        "halves are judged as float32",
        NOISE,
        "FLOAT16 if base.dtype == FLOAT16 else FLOAT32",
        "FLOAT32",
        TEST_NOISE + "::test_a_fold_that_is_stored_in_halves_is_the_same_net",
    ),
    Mutant(
        "an answer that half precision loses is safe",
        OUTCOME,
        "(*differing(self.first_difference), *answering(self.after, self.min_snr, self.remedy))",
        "(*differing(self.first_difference),)",
        "tests/judging/test_answers.py",
    ),
)
