"""How each dialect of BatchNorm reads its blobs: the statistics from which its affine is computed.

The forward functions implement the same independently, so that a proof with them detects a wrong reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional, Union

import numpy as np

from ...wording import Remedy
from ..layer_type import Refusal, single
from .settings import bn_eps, is_test, uses_stored, var_eps

if TYPE_CHECKING:
    from ..layer_type import Doubles

    Roles = Mapping[str, Doubles]  # the blobs by role, flat

USE_STORED = Remedy("give the deploy net, or use the stored statistics", ("fuse", "--use-global-stats"))
TEST_PHASE = Remedy("give the deploy net, or omit --phase TRAIN")
OTHER_WEIGHTS = Remedy("give undamaged weights, or name the dialect with --bn-dialect")


class Statistics(NamedTuple):
    """A BatchNorm in inference, (x - mean) / deviation * scale + shift: arrays of shape (C,).

    variance: of x, as measured in training; None if that, or the mean, is not stored.
    """

    mean: Doubles
    deviation: Doubles
    scale: Doubles
    shift: Doubles
    variance: Optional[Doubles] = None


def factored(parameter: Any, roles: Roles, unset: Optional[bool] = None) -> Union[Statistics, Refusal]:
    """BVLC: batch_norm_layer.cpp:98-105. unset: the default of use_global_stats; None: it depends on the phase."""
    if parameter.batch_norm_param.relu:
        return Refusal("it ends in a ReLU of its own")
    refusal = _batch_statistics(parameter, unset)
    return refusal or _normalised(roles, _share(roles, "mean"), _share(roles, "variance"), _eps(parameter))


def nvidia(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """NVIDIA: batch_norm_layer.cpp:24 and Forward_cpu; on loading, BVLC's three blobs are divided by their factor."""
    if not is_test(parameter):
        return Refusal("batch statistics: the phase is TRAIN, so it depends on the batch", TEST_PHASE)
    mean, variance = roles["mean"], roles["variance"]
    if "factor" in roles and roles["factor"][0] != 0:
        mean, variance = mean / roles["factor"][0], variance / roles["factor"][0]
    return _normalised(roles, mean, variance, max(_eps(parameter), single(1e-5)))


def digits(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """NVIDIA 0.15 and Xilinx: no factor, and no use_global_stats in TEST."""
    if not is_test(parameter):
        return Refusal("batch statistics: the phase is TRAIN, so it depends on the batch", TEST_PHASE)
    return _normalised(roles, roles["mean"], roles["variance"], _eps(parameter))


def opencv(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """OpenCV: batch_norm_layer.cpp, importer: no factor if there is a scale."""
    if "factor" in roles:
        return factored(parameter, roles, unset=True)
    refusal = _batch_statistics(parameter, True)
    return refusal or _normalised(roles, roles["mean"], roles["variance"], _eps(parameter))


def synopsys(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """Synopsys: batch_norm_layer.cpp:155-163."""
    read, settings = factored(parameter, roles), parameter.batch_norm_param
    if isinstance(read, Statistics) and settings.HasField("add_eps_before_sqrt") and not settings.add_eps_before_sqrt:
        return read._replace(deviation=np.sqrt(_share(roles, "variance")) + _eps(parameter))
    return read


def happynear(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """happynear: batch_norm_layer.cpp Forward_cpu."""
    settings, mean = parameter.batch_norm_param, _share(roles, "mean")
    mean = np.zeros_like(mean) if settings.disable_mean else mean
    variance, eps = _share(roles, "variance"), _eps(parameter)
    if settings.disable_variance:
        variance, eps = np.ones_like(mean), 0.0
    read = _batch_statistics(parameter) or _normalised(roles, mean, variance, eps)
    if isinstance(read, Statistics) and (settings.disable_mean or settings.disable_variance):
        return read._replace(variance=None)
    return read


def mnn(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """MNN: BatchNormalScale.cpp CuDNNBatchNorm."""
    refusal = _batch_statistics(parameter)
    return refusal or _normalised(roles, roles["mean"], roles["variance"], _eps(parameter))


def segnet(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """SegNet, ENet: bn_layer.cpp; compute_bn_statistics.py merges the statistics into the two blobs of INFERENCE."""
    settings = parameter.bn_param
    if settings.bn_mode != settings.INFERENCE:
        return Refusal(
            "batch statistics: its bn_mode is LEARN, the default, so it depends on the batch",
            Remedy("give the net with bn_mode INFERENCE that compute_bn_statistics.py writes"),
        )
    ones = np.ones_like(roles["scale"])
    return Statistics(0 * ones, ones, roles["scale"], roles["shift"])


def pspnet(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """PSPNet, yjxiong, Sophgo: bn_layer.cpp Forward_cpu."""
    settings = parameter.bn_param
    if not (is_test(parameter) or settings.frozen):
        cause = "the phase is TRAIN and it is not frozen"
        return Refusal(f"batch statistics: {cause}, so it depends on the batch", TEST_PHASE)
    return _normalised(roles, roles["mean"], roles["variance"], bn_eps(parameter))


def sensetime(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """SenseTime, and happynear before it stored inverse deviations."""
    settings = parameter.bn_param
    if not is_test(parameter) or (settings.HasField("moving_average") and not settings.moving_average):
        cause = "moving_average is false" if is_test(parameter) else "the phase is TRAIN"
        return Refusal(f"batch statistics: {cause}, so it depends on the batch", TEST_PHASE)
    return _normalised(roles, roles["mean"], roles["variance"], var_eps(parameter))


def inverse(parameter: Any, roles: Roles) -> Union[Statistics, Refusal]:
    """happynear: bn_layer.cpp:119-137."""
    if not is_test(parameter):
        return Refusal("batch statistics: the phase is TRAIN, so it depends on the batch", TEST_PHASE)
    deviation = 1 / roles["inverse"]
    return Statistics(roles["mean"], deviation, roles["scale"], roles["shift"], np.square(deviation))


def _batch_statistics(parameter: Any, unset: Optional[bool] = None) -> Optional[Refusal]:
    if uses_stored(parameter, unset):
        return None
    named = parameter.batch_norm_param.HasField("use_global_stats")
    cause = "use_global_stats is false" if named else "the phase is TRAIN"
    return Refusal(f"batch statistics: {cause}, so it depends on the batch", USE_STORED)


def _share(roles: Roles, name: str) -> Doubles:
    """The blob over the factor; 0 if nothing was summed up, factor 0 (BVLC: batch_norm_layer.cpp:100)."""
    total, divisor = roles[name], float(roles["factor"][0])
    return np.zeros_like(total) if divisor == 0 else total / divisor


def _eps(parameter: Any) -> float:
    return single(parameter.batch_norm_param.eps)


def _normalised(roles: Roles, mean: Doubles, variance: Doubles, eps: float) -> Union[Statistics, Refusal]:
    radicand = variance + eps
    # An infinite one overflowed in half precision before it was stored: its channel would be constant.
    bad = np.flatnonzero(~((radicand > 0) & (radicand < np.inf)))
    if bad.size:
        return Refusal(f"its variance + eps is {radicand[bad[0]]:g} in channel {bad[0]}", OTHER_WEIGHTS)
    scale = roles.get("scale", np.ones_like(mean))
    return Statistics(mean, np.sqrt(radicand), scale, roles.get("shift", np.zeros_like(mean)), variance)
