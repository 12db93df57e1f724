"""The terminal form of a report: short, aligned, the verdict last."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from ..folding.check import Checked
from ..folding.diagnosis import Channel, Diagnosis, counted_states
from ..folding.report import Report
from ..half.report import HalfReport, HalfRow
from ..judging.problems import CALIBRATE, Problem, steps
from ..net.graph import Layer
from ..passes import Move, Refused, Removal, Rewrite
from ..ranges.expected import Activation, Activations
from ..wording import VERDICT, Typed, counted, few
from .answers import verification_lines
from .cost_table import cost_lines, cost_rows
from .lines import powers, shortened, shortened_items, wrote_lines
from .target import asked_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..judging.outcome import Verification
    from ..upgrading.upgrade import Upgrade

_STATES = {"overflow": "with overflow", "lost": "below 40 dB"}
# The nets whose outputs in half precision are printed: of a fold, of a fold with range repair, of any two nets.
_FOLDED, _REPAIRED, _TWO = ("before", "", "folded"), ("before", "folded", "repaired"), ("A", "", "B")


def fold_report(
    report: Report, outputs: Sequence[str], verbose: bool, reports: Sequence[str] = (), labels: Sequence[str] = ()
) -> List[str]:
    """outputs, reports: the files of the model and of its reports. labels: the names of the classes, if known."""
    lines = _folded(report.changes.folded, verbose) + _carried(report.changes.carried, verbose)
    lines += _converted(report.changes.converted, verbose) + _simplified(report.changes.simplified, verbose)
    lines += _refused(report, verbose)
    if report.changes.dropped:
        names = ", ".join(f"{layer.name} ({layer.type})" for layer in report.changes.dropped)
        lines.append(f"dropped    {names}: of another phase, with a blob or a name that no longer exists")
    lines += _vanished(report, verbose) + _rescaled(report, verbose)
    lines += asked_lines(report.target, verbose)
    files = [report.typed.files, outputs] if outputs and all(map(os.path.isfile, report.typed.files)) else ()
    lines += cost_lines("cost", cost_rows(report.savings, files, every_type=verbose))
    lines += half_lines("half before", report.before, verbose) + half_lines("half after", report.after, verbose)
    lines += channel_lines(report.after_channels, verbose) + _flushed(report)
    lines += activation_lines(report.activations, report.typed, verbose)
    if report.verification is not None:
        lines += verification_lines(report.verification, _REPAIRED if report.rescaled else _FOLDED, labels)
    lines += wrote_lines((*outputs, *reports))
    fate = ""
    if report.problems:
        fate = "; written nevertheless (--force)" if outputs else "; no model file was written"
    return [*lines, *_ending(report.problems, report.verdict + fate, report.next)]


def check_report(checked: Checked, verbose: bool, reports: Sequence[str] = ()) -> List[str]:
    lines = half_lines("half", checked.half, verbose) + channel_lines(checked.channels, verbose)
    lines += activation_lines(checked.activations, checked.typed, verbose)
    lines += asked_lines(checked.target, verbose) + wrote_lines(reports)
    return [*lines, *_ending(checked.problems, checked.verdict, checked.next)]


def _ending(problems: Sequence[Problem], verdict: str, following: Sequence[str]) -> List[str]:
    """The last lines: why the result is not safe, the verdict, and what to do next."""
    reasons = [f"not safe   {problem}" for problem in problems]
    return [*reasons, VERDICT + verdict, *(f"next       {step}" for step in following)]


def upgrade_report(done: Upgrade) -> List[str]:
    lines = [f"{title:<10} {line}" for title, part in (("net", done.net), ("weights", done.weights)) for line in part]
    if not lines:
        lines = ["unchanged  nothing is in an old form: the bytes are the same"]
    return lines + wrote_lines(done.written)


def half_lines(title: str, half: HalfReport, verbose: bool) -> List[str]:
    """One line of sums, then the blobs that do not stay finite."""
    if not half.policy.checked:
        return []
    bad = [f"  {_half_row(row)}" for row in half.rows if not row.stats.safe]
    return [f"{title:<10} {half.summary}", *shortened(bad, verbose)]


def channel_lines(found: Diagnosis, verbose: bool) -> List[str]:
    """The channels that half precision loses, with their cause; empty if there are none."""
    if not found.worst:
        return []
    counts = counted_states((row.layer, channel) for row, channel in found.worst)
    states = ", ".join(f"{count} {_STATES[state]}" for state, count in counts.items())
    return [f"channels   {states}", *shortened([f"  {_channel(*each)}" for each in found.worst], verbose)]


def _channel(row: HalfRow, channel: Channel) -> str:
    what = f"{channel.snr:.1f} dB" if channel.state == "lost" else f"up to {channel.max_abs:.4g}"
    if channel.nan or channel.inf:
        what = ", ".join(f"{count} {name}" for name, count in (("nan", channel.nan), ("inf", channel.inf)) if count)
    cause = "" if channel.gain is None else f", gain {channel.gain:.4g}"
    if channel.batch_norm is not None:
        cause += f" from {channel.batch_norm}"
    if channel.variance is not None:
        cause += f" (variance {channel.variance:.4g})"
    return f"{row.layer} blob {row.blob} channel {channel.channel}: {what}{cause}"


def activation_lines(found: Activations, typed: Typed, verbose: bool) -> List[str]:
    """The activations that are expected to leave the range of fp16; empty if none are."""
    lines: List[str] = []
    for moment, rows in ((" before the fold", found.before), (" after the fold", found.after)):
        when = moment if found.after else ""
        large = [f"  {_outside(row, row.overflow)}" for row in rows if row.overflow.size]
        small = [f"  {_outside(row, row.subnormal)}" for row in rows if verbose and row.subnormal.size]
        if large:
            lines += [f"activations{when}: overflow in {counted(len(large), 'blob')}", *shortened(large, verbose)]
        if small:
            lines += [f"activations{when}: channels that stay subnormal in {counted(len(small), 'blob')}", *small]
    if any(row.overflow.size and not row.seen for row in found.after or found.before):
        lines.append(f"  to replace this prediction by measurements, {CALIBRATE.in_full(typed)}")
    bad = [bound for bound in found.sums if bound.overflow.size]
    if found.sums:
        lines.append(f"half sums  {len(bad)} of {len(found.sums)} layers can overflow in their sums, in the worst case")
        each = [f"  {bound.layer}: {counted(bound.terms, 'term')}, up to {bound.bounds.max():.6g}" for bound in bad]
        lines += shortened(each, verbose)
    return lines


def _outside(row: Activation, channels: NDArray[np.intp]) -> str:
    magnitudes = row.range.magnitudes
    worst = channels[magnitudes[channels].argmax()]
    origin = "recorded" if row.seen else "predicted"
    place = f"{row.blob} of {row.layer}" if row.layer else f"input {row.blob}"
    share = f"{channels.size} of {counted(magnitudes.size, 'channel')}"
    return f"{place}: {share}, {origin} up to {magnitudes[worst]:.6g} in channel {worst}"


def verify_report(
    found: Verification, typed: Typed, reports: Sequence[str] = (), labels: Sequence[str] = ()
) -> List[str]:
    """The report of `verify`. typed: for the command that is suggested next."""
    ending = _ending(found.problems, found.verdict, steps(found.problems, typed))
    return [*verification_lines(found, _TWO, labels), *wrote_lines(reports), *ending]


def _half_row(row: HalfRow) -> str:
    stats = row.stats
    kinds = [("overflow", stats.overflow), ("nan", stats.nan), ("inf", stats.inf)]
    found = ", ".join(f"{count:,} {name}" for name, count in kinds if count)
    place = "" if stats.worst is None else f", worst {stats.worst.value:.6g} at {stats.worst.index}"
    channel = "" if row.channel is None else f", channel {row.channel}"
    return f"{row.layer} blob {row.blob}: {found}{place}{channel}"


def _folded(rewrites: Sequence[Rewrite], verbose: bool) -> List[str]:
    absorbed = list({layer.index: layer for rewrite in rewrites for layer in rewrite.absorbed}.values())
    lines = [f"folded     {_kinds(absorbed) or 'nothing'}" + (f" into {_count(rewrites)}" if rewrites else "")]
    if verbose:
        for rewrite in rewrites:
            lines.append(f"  {rewrite.after.name} <- {', '.join(layer.name for layer in rewrite.absorbed)}")
    return lines


def _carried(moves: Sequence[Move], verbose: bool) -> List[str]:
    """Those of the folded layers that were not next to what absorbed them."""
    if not moves:
        return []
    through = list({layer.index: layer for move in moves for layer in move.through}.values())
    lines = [
        f"  {few(layer.name for layer in move.chain)} through {few(layer.name for layer in move.through)} "
        f"into {few(layer.name for layer in move.absorbing)}"
        for move in moves
    ]
    carried = [layer for move in moves for layer in move.chain]
    return [f"carried    {_kinds(carried)} of them through {_kinds(through)}", *(lines if verbose else [])]


def _converted(rewrites: Sequence[Rewrite], verbose: bool) -> List[str]:
    if not rewrites:
        return []
    merged = [layer for rewrite in rewrites for layer in rewrite.before]
    lines = [f"  {rewrite.after.name}: {rewrite.reason}" for rewrite in rewrites]
    return [f"converted  {_kinds(merged)} to {len(rewrites)} Scale", *shortened(lines, verbose)]


def _simplified(removals: Sequence[Removal], verbose: bool) -> List[str]:
    if not removals:
        return []
    reasons: Dict[str, List[Layer]] = {}
    for removal in removals:
        reasons.setdefault(removal.reason, []).append(removal.layer)
    lines = [f"simplified {_kinds(layers)} removed: {reason}" for reason, layers in reasons.items()]
    return [*lines, *(f"  {removal.layer}: {removal.reason}" for removal in removals if verbose)]


def _refused(report: Report, verbose: bool) -> List[str]:
    """Each reason once, with its remedy; with -v for each layer."""
    if not report.changes.refused:
        return []
    groups: Dict[Any, List[Refused]] = {}
    for refused in report.changes.refused:
        groups.setdefault((refused.reason, refused.remedy, verbose and refused.layer.index), []).append(refused)
    items: List[List[str]] = []
    for (first, *others), remedy in ((group, group[0].remedy) for group in groups.values()):
        more = f" and {len(others)} more" if others else ""
        reason = f"  {first.layer.where} {first.layer}{more}: {first.reason}"
        items.append([reason] if remedy is None else [reason, f"    {remedy.short}"])
    layers = [refused.layer for refused in report.changes.refused]
    return [f"refused    {_kinds(layers)}", *shortened_items(items, verbose)]


def _vanished(report: Report, verbose: bool) -> List[str]:
    if not report.vanished_blobs:
        return []
    if not verbose:
        return [f"vanished   {counted(len(report.vanished_blobs), 'blob name')} (-v lists them)"]
    lines = [
        f"  {name}: {f'now {holder}' if holder else 'no blob holds its value'}"
        for name, holder in report.vanished_blobs.items()
    ]
    return ["vanished   blob names", *lines]


def _rescaled(report: Report, verbose: bool) -> List[str]:
    lines: List[str] = []
    if report.rescaled:
        channels = sum(exponent != 0 for exponents in report.rescaled.values() for exponent in exponents)
        lines.append(
            f"rescaled   {counted(channels, 'channel')} of {counted(len(report.rescaled), 'blob')}, by powers of two"
        )
        each = [f"  {name}: {powers(found)}" for name, found in report.rescaled.items()]
        lines += shortened(each, verbose)
    if report.changes.unrepaired:
        lines.append(f"unrepaired {counted(len(report.changes.unrepaired), 'blob')}")
        lines += shortened([f"  {unrepaired}" for unrepaired in report.changes.unrepaired], verbose)
    return lines


def _flushed(report: Report) -> List[str]:
    """If more values become 0 than before the fold, how many, and whether it matters."""
    flushed = report.flushed
    if flushed is None or flushed.after <= flushed.before:
        return []
    return [f"flushed    {counted(flushed.after, 'value')} to 0, {flushed.before:,} before the fold; {flushed.harm}"]


def _kinds(layers: Iterable[Layer]) -> str:
    counts = Counter(layer.type for layer in layers)
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _count(rewrites: Sequence[Rewrite]) -> str:
    return _kinds([rewrite.after for rewrite in rewrites])


__all__: Tuple[str, ...] = (
    "activation_lines",
    "channel_lines",
    "check_report",
    "fold_report",
    "half_lines",
    "verify_report",
)
