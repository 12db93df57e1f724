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
    from .errors import CaffeFuseError, InputError, InternalError, SystemFailure, TextError, UnsafeResult
    from .execution.forward import Precision
    from .execution.run import run
    from .folding.check import check_half
    from .folding.fuse import fuse
    from .folding.result import Result
    from .half.report import HalfReport
    from .half.rounding import HalfPolicy
    from .judging.compare import verify
    from .judging.outcome import Verification
    from .net.load import load
    from .net.model import Model
    from .ranges.calibrate import Calibration, calibrate, read_ranges
    from .ranges.expected import Activations, predict

_HOMES = {
    "Activations": "ranges.expected",
    "predict": "ranges.expected",
    "Calibration": "ranges.calibrate",
    "calibrate": "ranges.calibrate",
    "read_ranges": "ranges.calibrate",
    "Verification": "judging.outcome",
    "verify": "judging.compare",
    "Result": "folding.result",
    "check_half": "folding.check",
    "fuse": "folding.fuse",
    "HalfPolicy": "half.rounding",
    "HalfReport": "half.report",
    "load": "net.load",
    "Model": "net.model",
    "Precision": "execution.forward",
    "run": "execution.run",
}


def __getattr__(name: str) -> Any:
    """Imports each name on first use: `caffe-fuse --help` needs neither numpy nor protobuf."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
