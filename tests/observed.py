"""How many of the activations of a net lie in the predicted ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Mapping

import numpy as np

import caffe_fuse
from caffe_fuse.execution.forward import PRECISIONS, Unavailable, compute
from caffe_fuse.net.graph import Value
from caffe_fuse.ranges.predict import predicted


@dataclass
class Observed:
    """Of one value: how many elements there were, how many in their range, and how far out the farthest was.

    farthest: its distance from the middle of the range of its channel, divided by half its width; 1 is the end.
    """

    total: int = 0
    inside: int = 0
    farthest: float = 0.0

    @property
    def share(self) -> float:
        return self.inside / self.total


def observe(model: caffe_fuse.Model, batches: Iterable[Mapping[str, Any]], sigmas: float = 6) -> Dict[Value, Observed]:
    """Returns the results for all values with a predicted range, in the order of the net."""
    known = predicted(model.net, sigmas)
    found: Dict[Value, Observed] = {}
    for inputs in batches:
        for value, array in compute(model.net, inputs, PRECISIONS["float32"]):
            if isinstance(array, Unavailable) or not known[value].bounded:
                continue
            lows, highs = (end.reshape(-1, *(1,) * (array.ndim - 2)) for end in known[value])
            row = found.setdefault(value, Observed())
            row.total += array.size
            row.inside += int(np.count_nonzero((array >= lows) & (array <= highs)))
            with np.errstate(all="ignore"):
                distance = np.abs(array - (lows + highs) / 2) / ((highs - lows) / 2)
            # A channel with a single value only, such as a dead one, has no width.
            row.farthest = max(row.farthest, float(distance[np.isfinite(distance)].max(initial=0)))
    return found
