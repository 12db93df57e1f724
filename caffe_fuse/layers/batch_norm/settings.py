"""The settings of a BatchNorm, with the defaults of other Caffes."""

from __future__ import annotations

from typing import Any, Optional

from ...schema.messages import PHASES
from ..layer_type import single


def is_test(parameter: Any) -> bool:
    return bool(parameter.phase == PHASES["TEST"])


def uses_stored(parameter: Any, unset: Optional[bool] = None) -> bool:
    """BVLC: batch_norm_layer.cpp:14. unset: the default of use_global_stats; None: it depends on the phase."""
    settings = parameter.batch_norm_param
    if settings.HasField("use_global_stats"):
        return bool(settings.use_global_stats)
    return is_test(parameter) if unset is None else unset


def bn_eps(parameter: Any) -> float:
    """PSPNet: caffe.proto BNParameter."""
    settings = parameter.bn_param
    return single(settings.eps if settings.HasField("eps") else 1e-5)


def var_eps(parameter: Any) -> float:
    """happynear, SenseTime: caffe.proto BNParameter."""
    settings = parameter.bn_param
    return single(settings.var_eps if settings.HasField("var_eps") else 1e-10)
