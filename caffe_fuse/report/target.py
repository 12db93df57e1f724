"""The terminal form of targets: their list, one of them, and what one says of a net."""

from __future__ import annotations

from collections import Counter
from typing import Iterable, List, Optional, Sequence, Tuple

from ..folding.report import Asked
from ..targets import Demand, Finding, Target
from ..targets.demand import CHANGED
from .lines import shortened


def list_lines(targets: Iterable[Target]) -> List[str]:
    rows = [(target.name, ", ".join(target.aliases), target.title) for target in targets]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name.ljust(widths[0])}  {aliases.ljust(widths[1])}  {title}" for name, aliases, title in rows]
    return [*lines, "caffe-fuse targets NAME says what one of them demands; case does not matter"]


def target_lines(target: Target) -> List[str]:
    known = "the tool was run on real nets" if target.measured else "from documents: the tool was not run"
    rows = [
        ("target", f"{target.name}: {target.title}"),
        ("aliases", ", ".join(target.aliases) or "none"),
        ("versions", target.versions),
        ("half", f"policy {target.policy}"),
        ("source", f"{target.source}; {known}"),
        *(("demands", f"{demand.name}: {demand.what}{_how(demand)}") for demand in target.demands),
    ]
    return [f"{title:<10} {line}" for title, line in rows]


def _how(demand: Demand) -> str:
    return " (fuse changes the net)" if demand.is_met else " (only named)"


def asked_lines(asked: Optional[Asked], verbose: bool) -> List[str]:
    """What was changed for the target, and what it does not take."""
    if asked is None:
        return []
    lines: List[str] = []
    if asked.changes:
        counts = Counter(change.demand for change in asked.changes)
        lines.append(f"target     {asked.target.name}: changed {_counts(counts)}")
        each = [f"  {change.layer.where} {change.layer}: {change.what}" for change in asked.changes]
        lines += shortened(each, verbose)
    return lines + finding_lines(asked.target, asked.left, verbose)


def finding_lines(target: Target, left: Sequence[Finding], verbose: bool) -> List[str]:
    if not left:
        return [f"target     {target.name}: nothing known that {target.title} would not take"]
    lines: List[str] = []
    changed = [finding for finding in left if finding.remedy == CHANGED]
    others = [finding for finding in left if finding.remedy != CHANGED]
    for words, found in ((f"{target.title} does not take", others), ("fuse changes", changed)):
        if found:
            lines.append(f"target     {target.name}: {words} {_counts(Counter(each.demand for each in found))}")
            each = [_finding(finding) for finding in found]
            lines += shortened(each, verbose)
    return lines


def _finding(finding: Finding) -> str:
    place = "" if finding.layer is None else f"{finding.layer.where} {finding.layer} "
    remedy = f"; {finding.remedy}" if finding.remedy not in ("", CHANGED) else ""
    return f"  {place}{finding.what}: it {finding.effect}{remedy}"


def _counts(counts: Counter[str]) -> str:
    pairs: Sequence[Tuple[str, int]] = counts.most_common()
    return ", ".join(f"{count} {name}" for name, count in pairs)
