"""Folds BatchNorm into the layers of a Caffe model, so that it runs in half precision. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

__all__ = [
    "Activations",
    "CaffeFuseError",
    "Calibration",
    "HalfPolicy",
    "HalfReport",
    "InputError",
    "InternalError",
    "Model",
    "Precision",
    "Result",
    "SystemFailure",
    "TextError",
    "UnsafeResult",
    "Verification",
    "calibrate",
    "check_half",
    "fuse",
    "load",
    "predict",
    "read_ranges",
    "run",
    "verify",
]

if TYPE_CHECKING:
    from .activations import Activations, predict
    from .calibration import Calibration, calibrate, read_ranges
    from .comparison import verify
    from .convert import check_half, fuse
    from .errors import CaffeFuseError, InputError, InternalError, SystemFailure, TextError, UnsafeResult
    from .forward import Precision
    from .half import HalfReport
    from .loader import load
    from .model import Model
    from .result import Result
    from .rounding import HalfPolicy
    from .running import run
    from .verification import Verification

_HOMES = {
    "Activations": "activations",
    "predict": "activations",
    "Calibration": "calibration",
    "calibrate": "calibration",
    "read_ranges": "calibration",
    "Verification": "verification",
    "verify": "comparison",
    "Result": "result",
    "check_half": "convert",
    "fuse": "convert",
    "HalfPolicy": "rounding",
    "HalfReport": "half",
    "load": "loader",
    "Model": "model",
    "Precision": "forward",
    "run": "running",
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is used: `caffe-fuse --help` needs neither numpy nor protobuf."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
