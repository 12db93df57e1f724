"""What the half arithmetic of devices and of their converters is known to do, one row each.

What a source does not say is taken to be as IEEE 754 has it.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Union

from ..errors import InputError
from .rounding import GENERIC, HalfPolicy


class Target(NamedTuple):
    """policy: how it makes halves of a model's numbers. source: where that is seen."""

    name: str
    policy: HalfPolicy
    source: str


def _target(
    name: str, source: str, rounding: str = "nearest", overflow: str = "inf", subnormals: str = "kept"
) -> Target:
    return Target(name, HalfPolicy(name, rounding, overflow, subnormals), source)


TARGETS: Dict[str, Target] = {
    target.name: target
    for target in (
        _target("ncnn", "ncnn mat.cpp:1916-1963", rounding="truncate", subnormals="flushed"),
        _target("openvino", "OpenVINO compress_float_constants.cpp: clamps", overflow="saturate"),
        _target("mnn", "MNN SaveHalfFloat.cpp:31-32, 57-58: clamps", overflow="saturate"),
        _target("opencv", "OpenCV 4 caffe_shrinker.cpp: a plain cast"),
        _target("tensorrt", "the TensorRT builder warns of subnormal FP16 values: NVIDIA/TensorRT#2600, #1122"),
        _target("nvcaffe", "NVCaffe blob.cpp:326-361: raw IEEE halves"),
        _target(
            "ascend-inference",
            "CANN aclrtFloatOverflowMode: Atlas 200I/500 A2, inference and training",
            overflow="saturate",
        ),
        _target("ascend-a2", "CANN aclrtFloatOverflowMode: the default of Atlas A2 and A3"),
    )
}

POLICIES: Dict[str, HalfPolicy] = {**GENERIC, **{name: target.policy for name, target in TARGETS.items()}}


def policy_of(half_policy: Union[str, HalfPolicy]) -> HalfPolicy:
    """The policy itself, where it was named. InputError for a name that is none."""
    if isinstance(half_policy, HalfPolicy):
        return half_policy
    if half_policy not in POLICIES:
        raise InputError(f"there is no half policy {half_policy}", remedy=f"choose from {', '.join(POLICIES)}")
    return POLICIES[half_policy]
