"""The terminal form of what nets compute: the blobs of a run, and the answers of nets that are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Mapping, Sequence

import numpy as np

from ..judging.agreement import Ranking, ranking
from ..wording import counted
from .lines import SHOWN

if TYPE_CHECKING:
    from ..judging.answers import HalfAnswer
    from ..judging.outcome import Verification


def run_report(found: Mapping[str, Any], labels: Sequence[str] = ()) -> List[str]:
    """One line per blob; for rows of classes, also the top classes of the first rows. labels: their names, if known."""
    lines: List[str] = []
    for name, array in found.items():
        shape = "x".join(map(str, array.shape)) or "one value"
        finite = array[np.isfinite(array)]
        broken = f", {array.size - finite.size:,} not finite" if finite.size < array.size else ""
        summary = "none"
        if finite.size:
            mean = (finite / np.float64(finite.size)).sum()  # the sum may be infinite where the mean is not
            summary = f"min {finite.min():.6g}, max {finite.max():.6g}, mean {mean:.6g}"
        lines.append(f"{name}  {shape}: {summary}{broken}")
        if array.ndim > 1 and 1 < array.shape[1] == array.size // len(array):
            lines += [f"  {_ranked(ranking(row), labels)}" for row in array.reshape(len(array), -1)[:SHOWN]]
    return lines


def _ranked(best: Ranking, labels: Sequence[str]) -> str:
    names = [f"{place} {labels[place]}" if place < len(labels) else str(place) for place, _ in best]
    return ", ".join(f"{name}: {score:.6g}" for name, (_, score) in zip(names, best))


def verification_lines(found: Verification, whose: Sequence[str], labels: Sequence[str] = ()) -> List[str]:
    """The comparison of two nets. whose: titles of the nets whose outputs in half precision are printed."""
    worst = found.worst
    lines = [
        f"compared   {counted(len(found.rows), 'blob')}; nearest to its bound is {worst.blob}: "
        f"off by {worst.max_abs:.3g}, allowed {worst.bound:.3g}"
    ]
    if found.unavailable:
        name, reason = next(iter(found.unavailable.items()))
        lines.append(f"not run    {counted(len(found.unavailable), 'blob')} (first: {name}: {reason})")
    width = max(map(len, whose))
    rows = {answer.blob: answer.telling_row for answer in found.after}
    for title, answers in zip(whose, found.in_half):
        for each in answers[:SHOWN]:
            lines.append(f"in half    {title:<{width}} {_answer(each, rows.get(each.blob, 0), labels)}")
    for each in found.before[:SHOWN]:
        if each.top5:
            row = rows.get(each.blob, 0)
            ranked = _ranked(each.top5[row].float32, labels)
            lines.append(f"in float32 {whose[0]:<{width}} {_place(each, row)}: {ranked}")
    hidden = len(found.before) - SHOWN
    if hidden > 0:
        lines.append(f"in half    ... and {counted(hidden, 'output')} more of each (--report lists them)")
    return [*lines, *_rough(found)]


def _rough(found: Verification) -> List[str]:
    """What no limit was given for, and a verdict about weights does not say."""
    rough = [answer.blob for answer in found.after if answer.rough and not answer.lost]
    if not rough or found.min_snr is not None:
        return []
    others = f" and {counted(len(rough) - 1, 'other output')}" if rough[1:] else ""
    return [
        f"rough      {rough[0]}{others} in half precision: below 40 dB, or another top class; "
        "--min-snr 40 makes that an error"
    ]


def _answer(answer: HalfAnswer, row: int, labels: Sequence[str]) -> str:
    if answer.not_finite:
        kept = f"{counted(answer.not_finite, 'value')} not finite"
    elif answer.snr != answer.snr:
        kept = "a different shape"
    else:
        kept = "exact" if answer.snr == float("inf") else f"SNR {answer.snr:.1f} dB, off by {answer.max_abs:.3g}"
    if answer.unmatched:
        kept += f", {counted(answer.unmatched, 'detection')} in only one of the two"
    top1 = "" if answer.top1 is None else ", same top class" if answer.top1 else ", different top class"
    values = (
        _ranked(answer.top5[row].half, labels) if answer.top5 else " ".join(f"{value:.4g}" for value in answer.numbers)
    )
    return f"{_place(answer, row)}: {kept}{top1}; {values}"


def _place(answer: HalfAnswer, row: int) -> str:
    """The output, and which of its rows is shown."""
    return answer.blob if len(answer.top5) < 2 else f"{answer.blob} (row {row} of {len(answer.top5)})"
