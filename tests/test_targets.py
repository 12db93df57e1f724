"""The rows of targets.py: each is a policy with its source."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_fuse.rounding import POLICIES, rounded
from caffe_fuse.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_a_policy_with_a_source(name: str) -> None:
    target = TARGETS[name]
    assert (name, name) == (target.name, target.policy.name)
    assert target.policy.rounding in ("nearest", "truncate")
    assert target.policy.overflow in ("inf", "saturate")
    assert target.policy.subnormals in ("kept", "flushed")
    assert target.source


def test_no_target_hides_a_policy() -> None:
    assert set() == set(TARGETS) & set(POLICIES)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ncnn", 65535.0, 65504.0),
        ("ncnn", 65536.0, float("inf")),
        ("ncnn", 2.0**-14 - 2.0**-30, 0.0),
        ("mnn", 70000.0, 65504.0),
        ("openvino", -1e9, -65504.0),
        ("opencv", 70000.0, float("inf")),
        ("opencv", 1e-9, 0.0),
        ("ascend-inference", 70000.0, 65504.0),
        ("ascend-a2", 70000.0, float("inf")),
    ],
)
def test_what_a_target_makes_of_a_number(name: str, value: float, expected: float) -> None:
    assert expected == float(rounded(np.float64(value), TARGETS[name].policy))
