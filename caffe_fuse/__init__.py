"""Folds BatchNorm into the layers of a Caffe model, so that it runs in half precision. See README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

__all__ = [
    "Activation",
    "Activations",
    "BatchNormRow",
    "BlobDifference",
    "CaffeFuseError",
    "Calibration",
    "CarriedRow",
    "ConvertedRow",
    "FoldedRow",
    "HalfAnswer",
    "HalfPolicy",
    "HalfReport",
    "HalfRow",
    "InputError",
    "InternalError",
    "LayerRow",
    "Model",
    "Precision",
    "RefusedRow",
    "Report",
    "Result",
    "SimplifiedRow",
    "SystemFailure",
    "TextError",
    "UnrepairedRow",
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
    from .folding.report import Report
    from .folding.result import Result
    from .folding.rows import (
        BatchNormRow,
        CarriedRow,
        ConvertedRow,
        FoldedRow,
        LayerRow,
        RefusedRow,
        SimplifiedRow,
        UnrepairedRow,
    )
    from .half.report import HalfReport, HalfRow
    from .half.rounding import HalfPolicy
    from .judging.answers import HalfAnswer
    from .judging.compare import verify
    from .judging.outcome import BlobDifference, Verification
    from .net.load import load
    from .net.model import Model
    from .ranges.calibrate import Calibration, calibrate, read_ranges
    from .ranges.expected import Activation, Activations, predict

_HOMES = {
    "Activation": "ranges.expected",
    "Activations": "ranges.expected",
    "predict": "ranges.expected",
    "Calibration": "ranges.calibrate",
    "calibrate": "ranges.calibrate",
    "read_ranges": "ranges.calibrate",
    "BlobDifference": "judging.outcome",
    "HalfAnswer": "judging.answers",
    "Verification": "judging.outcome",
    "verify": "judging.compare",
    "Report": "folding.report",
    "Result": "folding.result",
    **dict.fromkeys(
        ("BatchNormRow", "CarriedRow", "ConvertedRow", "FoldedRow", "LayerRow", "RefusedRow", "SimplifiedRow"),
        "folding.rows",
    ),
    "UnrepairedRow": "folding.rows",
    "check_half": "folding.check",
    "fuse": "folding.fuse",
    "HalfPolicy": "half.rounding",
    "HalfReport": "half.report",
    "HalfRow": "half.report",
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
