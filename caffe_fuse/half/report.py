"""The half-range report: what half precision does to every blob of a net, and the worst of it."""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from ..blobs.blob import Blob
from ..blobs.scaled import Layout
from ..display import Display, displayed, several
from ..wording import counted
from .measures import Measures
from .meter import BlobStats
from .rounding import HalfPolicy

# The layer's name, the index of the blob in it, the blob, and the layout of its output channels if it has any.
Entry = Tuple[str, int, Blob, Optional[Layout]]
# The classes of values that do not stay as they are, the worst first.
_CHANGED = ("overflow", "clipped", "nan", "inf", "subnormal", "underflow")


class HalfRow(NamedTuple):
    """The stats of one blob of a layer. channel: the output channel of the worst element, None if not known."""

    layer: str
    blob: int
    stats: BlobStats
    channel: Optional[int]


@displayed
class HalfReport(NamedTuple):
    """The verdict on a net. rows: one for each blob in the order given, none where the policy is not checked."""

    policy: HalfPolicy
    rows: Tuple[HalfRow, ...]

    @property
    def safe(self) -> bool:
        """Whether every element rounds to a finite fp16 value, or the policy is not checked."""
        return all(row.stats.safe for row in self.rows)

    def worst(self, count: int) -> Tuple[HalfRow, ...]:
        """The `count` worst rows: NaN and infinities first, then overflows, then by relative error."""
        return tuple(sorted(self.rows, key=_loss, reverse=True)[:count])

    @property
    def summary(self) -> str:
        """How many values half precision changes, and in which way."""
        if not self.policy.checked:
            return "not checked"
        sums = {name: sum(getattr(row.stats, name) for row in self.rows) for name in _CHANGED}
        words = {"overflow": "overflow (clipped to 65504)"} if self.policy.saturates else {}
        found = ", ".join(f"{count:,} {words.get(name, name)}" for name, count in sums.items() if count)
        count = sum(row.stats.count for row in self.rows)
        return f"{found or 'all normal'}, of {counted(count, 'value')} in {counted(len(self.rows), 'blob')}"

    def _display(self) -> Display:
        verdict = "safe" if self.safe else "NOT safe"
        title = f"HalfReport: {verdict if self.policy.checked else 'not checked'}"
        bad = [row for row in self.worst(len(self.rows)) if not row.stats.safe]
        worst = [f"{row.layer} blob {row.blob}: {_worst(row)}" for row in bad]
        return Display(title, [("policy", self.policy.name), ("values", self.summary), *several("not safe", worst, 10)])


def analyse(entries: Iterable[Entry], measures: Measures) -> HalfReport:
    """The report on these blobs under the measures' policy. If that is not checked, nothing is read."""
    rows: List[HalfRow] = []
    wanted = list(entries) if measures.policy.checked else []
    measures.of_all(blob for _, _, blob, _ in wanted)
    for layer, index, blob, layout in wanted:
        stats = measures.of(blob)
        channel = None
        if layout is not None and stats.worst is not None:
            channel = int(layout.channel(np.array([stats.worst.index]))[0])
        rows.append(HalfRow(layer, index, stats, channel))
    return HalfReport(measures.policy, tuple(rows))


def _worst(row: HalfRow) -> str:
    stats = row.stats
    found = ", ".join(f"{getattr(stats, name):,} {name}" for name in ("overflow", "nan", "inf") if getattr(stats, name))
    place = "" if row.channel is None else f" in channel {row.channel}"
    return found if stats.worst is None else f"{found}, worst {stats.worst.value:.4g}{place}"


def _loss(row: HalfRow) -> Tuple[bool, float, float]:
    stats = row.stats
    return (bool(stats.nan or stats.inf), stats.max_abs if stats.overflow else 0.0, stats.max_relative_error)
