"""How devices and their converters are known to treat half precision, one row each.

Where a source says nothing, IEEE 754 is assumed.
"""

from __future__ import annotations

from typing import Dict, Literal, NamedTuple, Union

from ..argument_types import Kind, expect
from ..errors import InputError
from .rounding import GENERIC, HalfPolicy, Overflow, Rounding, Subnormals


class Target(NamedTuple):
    """A device or converter. policy: how it rounds the weights of a model. source: where that is documented."""

    name: str
    policy: HalfPolicy
    source: str


def _target(
    name: str,
    source: str,
    rounding: Rounding = "nearest",
    overflow: Overflow = "inf",
    subnormals: Subnormals = "kept",
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


HalfPolicyName = Union[
    Literal["off", "ieee", "flush", "truncate", "saturate", "ncnn", "openvino", "mnn", "opencv", "tensorrt"],
    Literal["nvcaffe", "ascend-inference", "ascend-a2"],
]
HALF_POLICY = Kind("the name of a half policy, or a HalfPolicy,", (str, HalfPolicy))


def policy_of(half_policy: Union[str, HalfPolicy]) -> HalfPolicy:
    """The policy, looked up if it is a name, in any case.

    Raises InputError for an unknown name, TypeError for a wrong type.
    """
    expect(HALF_POLICY, half_policy=half_policy)
    if isinstance(half_policy, HalfPolicy):
        return half_policy
    if half_policy.lower() not in POLICIES:
        from ..spelling import did_you_mean

        what = f"half policy {half_policy} is not known{did_you_mean(half_policy, POLICIES)}"
        raise InputError(what, remedy=f"choose from {', '.join(POLICIES)}")
    return POLICIES[half_policy.lower()]
