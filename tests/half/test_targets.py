"""The targets: each is a policy with its source."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_fuse.half.rounding import GENERIC, rounded
from caffe_fuse.half.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_a_policy_with_a_source(name: str) -> None:
    target = TARGETS[name]
    assert (name, name) == (target.name, target.policy.name)
    assert target.policy.rounding in ("nearest", "truncate")
    assert target.policy.overflow in ("inf", "saturate")
    assert target.policy.subnormals in ("kept", "flushed")
    assert target.source


def test_the_targets_that_the_tools_of_vendors_stand_for() -> None:
    named = {name.split("-")[0] for name in TARGETS}
    assert {"ncnn", "ascend", "tensorrt", "openvino", "mnn", "nvcaffe"} <= named


def test_no_target_hides_a_policy() -> None:
    assert set() == set(TARGETS) & set(GENERIC)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ncnn", 65535.0, 65504.0),
        ("ncnn", 65536.0, float("inf")),
        ("ncnn", 2.0**-14 - 2.0**-30, 0.0),
        ("ncnn", 2.0**-14, 2.0**-14),
        ("ncnn", 1.0 + 2.0**-10 - 2.0**-20, 1.0),
        ("mnn", 70000.0, 65504.0),
        ("mnn", float("inf"), 65504.0),
        ("mnn", 2.0**-24, 2.0**-24),
        ("openvino", 65519.0, 65504.0),
        ("openvino", 2.0**-25, 0.0),
        ("tensorrt", 65519.0, 65504.0),
        ("tensorrt", 65520.0, float("inf")),
        ("tensorrt", 2.0**-24, 2.0**-24),
        ("nvcaffe", 65520.0, float("inf")),
        ("nvcaffe", 2.0**-25 * 1.01, 2.0**-24),
        ("ascend-inference", 2.0**-24, 2.0**-24),
        ("ascend-a2", 65519.0, 65504.0),
        ("openvino", -1e9, -65504.0),
        ("opencv", 70000.0, float("inf")),
        ("opencv", 1e-9, 0.0),
        ("ascend-inference", 70000.0, 65504.0),
        ("ascend-a2", 70000.0, float("inf")),
    ],
)
def test_what_a_target_makes_of_a_number(name: str, value: float, expected: float) -> None:
    assert expected == float(rounded(np.array(value), TARGETS[name].policy))
