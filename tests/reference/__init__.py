"""Caffe's forward pass in NumPy, for tests: the judge of every fold.

It is written from Caffe's sources and shares no code with the package: only the compiled schema caffe.desc is read, as
data. It prefers clarity to speed. Every layer runs in one floating-point type: float64 for the truth, float32 to
measure the rounding of a net's own arithmetic.

    run(prototxt, weights, {"data": x})              {blob: its last value}
    trace(prototxt, weights, {"data": x}).versions   {blob: every value it had, in order}
"""

from __future__ import annotations

from . import arrange, elementwise, forks, normalise, pooling, recurrent, weighted
from .net import Place, Trace, Version, run, trace
from .rules import LAYERS, CaffeAbort

FAMILIES = (arrange, elementwise, forks, normalise, pooling, recurrent, weighted)

__all__ = ["FAMILIES", "LAYERS", "CaffeAbort", "Place", "Trace", "Version", "run", "trace"]
