"""Matches the rows of two detectors: the objects that both found, wherever they are in their lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, NamedTuple, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_IMAGE, _LABEL, _SCORE = 0, 1, 2  # of a row of DetectionOutput; then left, top, right and bottom


class Matched(NamedTuple):
    """found, truth: (objects, 5), score and box of each. unmatched: how many of them only one of the two has."""

    found: Array
    truth: Array
    unmatched: int


def matched(found: Array, truth: Array) -> Matched:
    """Rows (..., 7) of DetectionOutput, matched by image, class and nearest box, if its sides are near enough.

    An object that only one of the two has counts in the other as one of score 0 with the same box: near the threshold
    that is almost true. Rows of class -1 mean that nothing was found (SSD: detection_output_layer.cpp Forward_cpu).
    """
    rows, others = (_objects(each) for each in (found, truth))
    pairs: List[Tuple[Array, Array]] = []
    unmatched: List[Tuple[Array, Array]] = []
    for kind in np.unique(np.concatenate([rows, others])[:, :_SCORE], axis=0):
        here, there = (list(each[np.all(each[:, :_SCORE] == kind, axis=1), _SCORE:]) for each in (rows, others))
        while here and there:
            place, other, away = _nearest(here, there)
            if away == np.inf:
                break
            pairs.append((here.pop(place), there.pop(other)))
        unmatched += [(row, _unseen(row)) for row in here] + [(_unseen(row), row) for row in there]
    both = np.array([*pairs, *unmatched]).reshape(-1, 2, 5)
    return Matched(both[:, 0], both[:, 1], len(unmatched))


def _objects(rows: Array) -> Array:
    objects = rows.astype(np.float64).reshape(-1, 7)
    seen: Array = objects[objects[:, _LABEL] != -1]
    return seen


@np.errstate(all="ignore")  # a row that is not finite is never the nearest
def _nearest(here: List[Array], there: List[Array]) -> Tuple[int, int, float]:
    """The two nearest rows by box and score together (without suppression a box may occur twice), and their distance.

    It is infinite where a side differs by more than half of the larger box: then the objects are different.
    """
    rows, others = np.array(here)[:, np.newaxis], np.array(there)
    apart = np.abs(rows - others)
    sizes = np.maximum(*((each[..., 3:] - each[..., 1:3]).max(-1) for each in (rows, others)))
    away = np.where(apart[..., 1:].max(-1) <= sizes / 2, apart.sum(-1), np.inf)
    place, other = divmod(int(away.argmin()), len(there))
    return place, other, float(away[place, other])


def _unseen(row: Array) -> Array:
    return np.concatenate([[0.0], row[1:]])
