"""Detections are compared one by one, wherever they are in the two lists."""

from __future__ import annotations

from typing import List

import numpy as np
import pytest
from nets import layer, model

import caffe_fuse
from caffe_fuse.judging.detections import matched
from caffe_fuse.report.json_report import verification
from caffe_fuse.report.terminal import verify_report
from caffe_fuse.wording import Typed

CAT, DOG, CAR = (
    [0, 1, 0.9, 0.1, 0.1, 0.3, 0.3],
    [0, 2, 0.8, 0.5, 0.5, 0.9, 0.9],
    [1, 2, 0.7, 0.5, 0.5, 0.9, 0.8],
)


def rows(*lines: List[float]) -> np.ndarray:
    return np.array(lines, np.float32).reshape(1, 1, -1, 7)


def test_the_same_things_in_another_order_are_the_same() -> None:
    found = matched(rows(CAR, DOG, CAT), rows(CAT, DOG, CAR))
    assert (3, 0) == (len(found.truth), found.unmatched)
    assert np.array_equal(found.found, found.truth)


def test_of_one_class_the_nearest_boxes_belong_together() -> None:
    near, far = [0, 1, 0.4, 0.11, 0.1, 0.3, 0.3], [0, 1, 0.95, 0.6, 0.6, 0.7, 0.7]
    other = [0, 1, 0.5, 0.6, 0.6, 0.7, 0.71]
    found = matched(rows(far, near), rows(CAT, other))
    assert 0 == found.unmatched
    pairs = {(round(float(here[0]), 2), round(float(there[0]), 2)) for here, there in zip(found.found, found.truth)}
    assert {(0.95, 0.5), (0.4, 0.9)} == pairs


@pytest.mark.parametrize("other", [[0, 2, *CAT[2:]], [1, 1, *CAT[2:]]], ids=["class", "image"])
def test_a_thing_of_another_class_or_image_is_another_thing(other: List[float]) -> None:
    assert 2 == matched(rows(CAT), rows(other)).unmatched


@pytest.mark.parametrize(("shift", "unmatched"), [(0.09, 0), (0.11, 2)])
def test_a_box_that_is_off_by_more_than_half_its_size_is_another_thing(shift: float, unmatched: int) -> None:
    other = [0, 1, 0.9, 0.1 + shift, 0.1, 0.3 + shift, 0.3]
    assert unmatched == matched(rows(CAT), rows(other)).unmatched


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_boxes_the_larger_says_how_far_they_may_be_off(turned: bool) -> None:
    """A side is off by 0.09: less than half of 0.2, more than half of 0.11."""
    small = [0, 1, 0.9, 0.19, 0.19, 0.3, 0.3]
    assert 0 == matched(*(rows(CAT), rows(small))[:: -1 if turned else 1]).unmatched


def test_a_box_without_size_is_itself() -> None:
    point = [0, 1, 0.9, 0.5, 0.5, 0.5, 0.5]
    assert 0 == matched(rows(point), rows(point)).unmatched


def test_what_only_one_has_is_of_score_0_in_the_other() -> None:
    for found, truth in ((rows(CAT), rows(CAT, DOG)), (rows(CAT, DOG), rows(CAT))):
        both = matched(found, truth)
        assert 1 == both.unmatched
        assert np.isclose(0.8, np.abs(both.found - both.truth).max())
        assert np.count_nonzero(both.found != both.truth) == 1


def test_rows_that_say_that_nothing_was_found_are_none() -> None:
    nothing = rows([0, *[-1] * 6])
    assert (0, 0) == (len(matched(nothing, nothing).truth), matched(nothing, nothing).unmatched)
    assert 1 == matched(nothing, rows(CAT)).unmatched


def detector() -> caffe_fuse.Model:
    """Returns a detector of two classes without suppression: two boxes with nearly the same score, one far below."""
    inputs = [("confidence", "1 dim: 6"), ("location", "1 dim: 12"), ("prior", "1 dim: 2 dim: 12")]
    lines = [f'input: "{name}" input_shape {{ dim: {dims} }}' for name, dims in inputs]
    settings = "num_classes: 2 keep_top_k: 10 confidence_threshold: 0.1 nms_param { nms_threshold: 0.5 }"
    lines.append(
        layer("d", "DetectionOutput", "location confidence prior", "d", f"detection_output_param {{ {settings} }}")
    )
    return model("\n".join(lines).encode(), None)


BOXES = [0.0, 0.0, 0.4, 0.4, 0.5, 0.5, 0.9, 0.9, 0.1, 0.6, 0.3, 0.8]


def shown(scores: List[float]) -> caffe_fuse.Verification:
    confidence = [number for score in scores for number in (1 - score, score)]
    inputs = {
        "confidence": np.array([confidence], np.float32),
        "location": np.zeros((1, 12), np.float32),
        "prior": np.array([[BOXES, [0.1] * 12]], np.float32),
    }
    return caffe_fuse.verify(detector(), detector(), inputs)


def test_detections_that_change_places_in_half_are_told_by_their_boxes() -> None:
    """In half precision the two scores are equal, and the first comes first."""
    found = shown([0.5001, 0.5002, 0.3])
    (answer,) = found.after
    assert (0, 0) == (answer.unmatched, answer.lost)
    assert answer.max_abs < 1e-3
    assert answer.snr > 60
    assert found.equal
    assert () == found.problems


def test_a_detection_that_half_loses_is_counted() -> None:
    found = shown([0.5, 0.4, 0.100004])  # which is 0.09998 in half, below the threshold
    (answer,) = found.after
    assert 1 == answer.unmatched
    assert np.isclose(0.100004, answer.max_abs)
    assert any("1 detection in only one of the two" in line for line in verify_report(found, Typed(())))
    assert (1, 0) == (
        verification(found)["half"]["after"][0]["unmatched"],
        verification(found)["blobs"][0]["unmatched"],
    )
