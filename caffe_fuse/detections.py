"""The rows of two detectors beside each other: a thing that both found, wherever it stands in their lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, NamedTuple, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_IMAGE, _LABEL, _SCORE = 0, 1, 2  # of a row of DetectionOutput; then left, top, right and bottom


class Matched(NamedTuple):
    """found, truth: (things, 5), score and box of each. unmatched: how many of them only one of the two has."""

    found: Array
    truth: Array
    unmatched: int


def matched(found: Array, truth: Array) -> Matched:
    """Rows (..., 7) of DetectionOutput, matched by image, class and nearest box.

    What only one of the two has is a thing with the score 0 and the same box in the other: next to the threshold that
    is nearly so. Rows of class -1 say that nothing was found (SSD: detection_output_layer.cpp Forward_cpu).
    """
    rows, others = (_things(each) for each in (found, truth))
    pairs: List[Tuple[Array, Array]] = []
    unmatched: List[Tuple[Array, Array]] = []
    for kind in np.unique(np.concatenate([rows, others])[:, :_SCORE], axis=0):
        here, there = (list(each[np.all(each[:, :_SCORE] == kind, axis=1), _SCORE:]) for each in (rows, others))
        while here and there:
            place, other = _nearest(here, there)
            pairs.append((here.pop(place), there.pop(other)))
        unmatched += [(row, _unseen(row)) for row in here] + [(_unseen(row), row) for row in there]
    both = np.array([*pairs, *unmatched]).reshape(-1, 2, 5)
    return Matched(both[:, 0], both[:, 1], len(unmatched))


def _things(rows: Array) -> Array:
    things = rows.astype(np.float64).reshape(-1, 7)
    seen: Array = things[things[:, _LABEL] != -1]
    return seen


@np.errstate(all="ignore")  # what is not finite is nobody's nearest
def _nearest(here: List[Array], there: List[Array]) -> Tuple[int, int]:
    """The two rows that are least apart, boxes and scores together: without suppression a box may come twice."""
    apart = np.abs(np.array(here)[:, np.newaxis] - np.array(there)).sum(-1)
    place, other = divmod(int(np.nan_to_num(apart, nan=np.inf).argmin()), len(there))
    return place, other


def _unseen(row: Array) -> Array:
    return np.concatenate([[0.0], row[1:]])
