"""Caffe's forward pass in NumPy, for tests: the judge of every fold.

It is written from what Caffe's sources do and shares no code with the package: of caffe_fuse only the
compiled schema caffe.desc is read, as data. Clear and slow is preferred; every layer runs in one
floating-point type, float64 for the truth, float32 to see how much a net's own arithmetic loses.

    run(prototxt, weights, {"data": x})              {blob: its last value}
    trace(prototxt, weights, {"data": x}).versions   {blob: every value it had, in order}
"""

from __future__ import annotations

from . import arrange, elementwise, forks, normalise, pooling, recurrent, weighted
from .net import Place, Trace, Version, run, trace
from .rules import LAYERS, CaffeAbort

FAMILIES = (arrange, elementwise, forks, normalise, pooling, recurrent, weighted)

__all__ = ["FAMILIES", "LAYERS", "CaffeAbort", "Place", "Trace", "Version", "run", "trace"]
