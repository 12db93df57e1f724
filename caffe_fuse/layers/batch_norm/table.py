"""The table of the dialects of BatchNorm."""

from __future__ import annotations

from functools import partial
from typing import Tuple

from ..layer_type import Refusal
from . import forward, read
from .dialect import Dialect, unsettled

# Settings of the engine and of training, which do not change what the layer computes.
_PLAIN = frozenset(
    {"use_global_stats", "moving_average_fraction", "moving_averaging_fraction", "eps", "engine", "update_global_stats"}
)
_FILLERS = frozenset({"scale_filler", "shift_filler", "slope_filler", "bias_filler"})
_THREE = "mean variance factor"
_CUDNN = "mean variance correction scale shift"

# In the order in which they are tried. The first is the default.
DIALECTS: Tuple[Dialect, ...] = (
    Dialect("bvlc", "BatchNorm", "BVLC", (_THREE,), _PLAIN, read.factored, forward.factored, stored=forward.stored),
    Dialect(
        "nvidia",
        "BatchNorm",
        "NVIDIA 0.16 and later, TI",
        (_THREE, _CUDNN),
        _PLAIN | {"scale_bias", "scale_filler", "bias_filler"},
        read.nvidia,
        forward.nvidia,
        learned=frozenset({"scale_bias", "scale_filler", "bias_filler"}),
    ),
    Dialect(
        "digits",
        "BatchNorm",
        "NVIDIA 0.15, DIGITS, Xilinx",
        ("scale shift mean variance reserved",),
        _PLAIN | {"scale_bias", "scale_filler", "bias_filler"},
        read.digits,
        forward.digits,
    ),
    Dialect(
        "intel",
        "BatchNorm",
        "Intel",
        (_THREE, f"{_THREE} scale", f"{_THREE} scale shift"),
        _PLAIN | {"use_weight_bias", "bias_term", "filler", "bias_filler", "relu"},
        read.factored,
        forward.factored,
    ),
    Dialect(
        "cambricon",
        "BatchNorm",
        "Cambricon",
        (_THREE, f"{_THREE} scale shift"),
        _PLAIN | {"use_alpha_beta"},
        partial(read.factored, unset=True),
        partial(forward.factored, unset=True),
        learned=frozenset({"use_alpha_beta"}),
    ),
    Dialect(
        "synopsys",
        "BatchNorm",
        "Synopsys",
        (_THREE,),
        _PLAIN | {"add_eps_before_sqrt", "icnet"},  # icnet saves a buffer of the training (batch_norm_layer.cpp)
        read.synopsys,
        forward.synopsys,
    ),
    Dialect(
        "happynear",
        "BatchNorm",
        "happynear",
        (_THREE,),
        _PLAIN | {"disable_mean", "disable_variance"},
        read.happynear,
        forward.happynear,
    ),
    Dialect(
        "mnn",
        "BatchNorm",
        "MNN's CuDNNBatchNorm",
        ("mean variance", "mean variance scale", "mean variance scale shift"),
        _PLAIN,
        read.mnn,
        forward.mnn,
        types=("CuDNNBatchNorm",),
    ),
    Dialect(
        "opencv",
        "BatchNorm",
        "OpenCV",
        (_THREE, _CUDNN),
        _PLAIN | {"scale_bias"},
        read.opencv,
        forward.opencv,
        learned=frozenset({"scale_bias"}),
        named_only=True,
    ),
    Dialect(
        "segnet",
        "BN",
        "SegNet, ENet",
        ("scale shift",),
        frozenset({"scale_filler", "shift_filler", "bn_mode", "engine"}),
        read.segnet,
        forward.segnet,
    ),
    Dialect(
        "pspnet",
        "BN",
        "PSPNet, yjxiong, Sophgo",
        ("scale shift mean variance",),
        _FILLERS | {"momentum", "eps", "frozen", "engine", "icnet"},  # icnet: Synopsys' name of this dialect
        read.pspnet,
        forward.pspnet,
    ),
    Dialect(
        "sensetime",
        "BN",
        "SenseTime",
        ("scale shift mean variance",),
        _FILLERS | {"var_eps", "moving_average", "decay"},
        read.sensetime,
        forward.sensetime,
    ),
    Dialect(
        "happynear",
        "BN",
        "happynear",
        ("scale shift mean inverse",),
        _FILLERS,
        read.inverse,
        forward.inverse,
    ),
)

TYPES = tuple(dict.fromkeys(dialect.layer for dialect in DIALECTS))

LAYER_TYPES = (
    DIALECTS[0].layer_type(_THREE),
    unsettled("BN", Refusal("its blobs do not show which dialect of BN it is")),
)
