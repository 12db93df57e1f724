"""The tables of a page that say what was done, and why not: what has the same reason is one row."""

from __future__ import annotations

from ..folding.report import Asked, Report
from ..report.lines import powers
from .tables import Column, Row, Table, grouped, names, number, reason_of, without_empty, without_names


def of_refusals(report: Report) -> Table:
    columns = (Column("layers"), Column("type"), Column("reason"), Column("what to do"), Column("first place"))
    known = {name for net in report.nets for name in (*net.blob_names, *(layer.name for layer in net.layers))}
    groups = grouped(
        report.changes.refused, lambda each: (each.layer.type, without_names(each.reason, known), each.remedy)
    )
    rows = [
        (
            names(each.layer.name for each in group),
            group[0].layer.type,
            reason_of([each.reason for each in group], known),
            "" if group[0].remedy is None else group[0].remedy.in_full(report.typed),
            group[0].layer.where,
        )
        for group in groups
    ]
    return without_empty(Table(columns, [Row(row) for row in rows]))


def of_conversions(report: Report) -> Table:
    columns = (Column("layer"), Column("merges"), Column("why it is a Scale of its own"))
    rows = [
        (rewrite.after.name, ", ".join(layer.name for layer in rewrite.before), rewrite.reason)
        for rewrite in report.changes.converted
    ]
    return Table(columns, [Row(row) for row in rows])


def of_folds(report: Report) -> Table:
    columns = (Column("layer"), Column("type"), Column("absorbed"), Column("top", "the blob that it writes now"))
    rows = [
        (
            rewrite.after.name,
            rewrite.after.type,
            ", ".join(f"{layer.name} ({layer.type})" for layer in rewrite.absorbed),
            rewrite.after.tops[0],
        )
        for rewrite in report.changes.folded
    ]
    return Table(columns, [Row(row) for row in rows])


def of_powers(report: Report) -> Table:
    columns = (Column("blob"), number("channels that changed"), Column("multiplied by"))
    rows = [(name, f"{sum(map(bool, exponents)):,}", powers(exponents)) for name, exponents in report.rescaled.items()]
    return Table(columns, [Row(row) for row in rows])


def of_unrepaired(report: Report) -> Table:
    columns = (Column("layers"), Column("what"), Column("why no power of two helps"))
    groups = grouped(report.changes.unrepaired, lambda each: (each.effect, each.reason))
    rows = [(names(each.layer.name for each in group), group[0].effect, group[0].reason) for group in groups]
    return Table(columns, [Row(row) for row in rows])


def of_findings(asked: Asked) -> Table:
    columns = (
        Column("layers"),
        Column("type"),
        Column("what"),
        Column("then the tool"),
        Column("what to do"),
        Column("first place"),
    )
    groups = grouped(asked.left, lambda each: (each.layer and each.layer.type, each.what, each.effect, each.remedy))
    rows = [
        (
            names(each.layer.name for each in group if each.layer is not None),
            "" if group[0].layer is None else group[0].layer.type,
            group[0].what,
            group[0].effect,
            group[0].remedy,
            "" if group[0].layer is None else group[0].layer.where,
        )
        for group in groups
    ]
    return without_empty(Table(columns, [Row(row) for row in rows]))


def of_changes(asked: Asked) -> Table:
    columns = (Column("layers"), Column("type"), Column("demand"), Column("what changed"))
    groups = grouped(asked.changes, lambda each: (each.layer.type, each.demand, each.what))
    rows = [
        (names(each.layer.name for each in group), group[0].layer.type, group[0].demand, group[0].what)
        for group in groups
    ]
    return Table(columns, [Row(row) for row in rows])


def of_removals(report: Report) -> Table:
    columns = (Column("layers"), Column("type"), Column("why it does nothing"))
    groups = grouped(report.changes.simplified, lambda each: (each.layer.type, each.reason))
    rows = [(names(each.layer.name for each in group), group[0].layer.type, group[0].reason) for group in groups]
    return Table(columns, [Row(row) for row in rows])


def of_vanished(report: Report) -> Table:
    columns = (Column("blob"), Column("its value is now in"))
    return Table(columns, [Row((name, holder or "no blob")) for name, holder in report.vanished_blobs.items()])
