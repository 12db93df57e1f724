"""What each command of `caffe-fuse` does: it calls the library, writes files, and returns what is to be printed."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from typing import Any, Dict, Sequence, Tuple

from ..errors import InputError, UnsafeResult
from ..many.outcome import Outcome, Summary
from . import options as given
from . import printing
from .calibration import run_calibrate as run_calibrate
from .writing import check_outputs, files_of, reports_asked_for, write_arrays, write_reports


def run_help(options: argparse.Namespace) -> Outcome:
    """A command line without a command."""
    from .parsers import program_parser

    return Outcome(2, tuple(program_parser().format_help().splitlines()))


def run_fuse(options: argparse.Namespace) -> Outcome:
    if options.min_snr is not None and not options.verify:
        raise InputError("--min-snr needs --verify", remedy="give both")
    model, upgraded = given.loaded_for_target(options)
    prefix = given.prefix(options.output, model.document.path)
    reports = reports_asked_for(options)
    check_outputs(options, *reports, None if options.dry_run else prefix)
    result = _folded(options, model)
    if not options.dry_run:
        check_outputs(options, *result.targets(prefix))
    labels: Sequence[str] = ()
    if options.verify:
        inputs, labels = given.inputs(options, model)
        result = result.verified(inputs, min_snr=options.min_snr, seed=options.seed)
    result = replace(result, typed=given.typed(options, model.paths))
    written: Tuple[str, ...] = ()
    if options.dry_run:
        result.save_reports(reports, inputs=given.also_read(options))
    else:
        try:
            written = result.save(prefix, force=options.force, reports=reports, inputs=given.also_read(options))
        except UnsafeResult:
            pass  # the report has the reason, and its status is 1
    report = result.report
    boundless = _boundless(report.activations) if options.half_sums else ()
    warnings = [*report.warnings, *boundless, *_unused_inputs(options)]
    lines: Sequence[str] = ()
    if not options.quiet:  # what only the report shows need not be computed
        from ..report.terminal import fold_report

        lines = fold_report(report, written, options.verbose, tuple(reports), labels)
        lines = [*(f"upgraded   {line}" for line in upgraded), *lines]
    return Outcome(
        report.status,
        tuple(lines),
        tuple(warnings),
        summary=_fold_summary(report),
        written=(*written, *reports),
        document=partial(_fold_document, report, written),
    )


def _folded(options: argparse.Namespace, model: Any) -> Any:
    from ..folding.fuse import fuse

    return fuse(
        model,
        keep=options.keep,
        half_policy=options.half_policy,
        target=options.target,
        strict=[name for name in options.strict.split(",") if name],
        prune=options.prune,
        weights_format=options.weights_format,
        blob_type=options.blob_type,
        rescale=options.rescale,
        folds=options.folds,
        simplify=options.simplify,
        keep_blobs=options.keep_blob,
        allow_bn=options.allow_bn,
        use_global_stats=options.use_global_stats,
        **given.assumptions(options),
    )


def _fold_summary(report: Any) -> Summary:
    folded = {layer.index for rewrite in report.changes.folded for layer in rewrite.absorbed}
    counts = {"folded": len(folded), "refused": len(report.changes.refused), "overflow": _overflow(report.after)}
    return Summary(report.verdict, counts, tuple(report.next))


def _overflow(half: Any) -> int:
    """The count of weights without an fp16 value near them."""
    return sum(row.stats.overflow + row.stats.nan + row.stats.inf for row in half.rows)


def _fold_document(report: Any, written: Sequence[str]) -> str:
    from ..files.outputs import Written
    from ..report.json_report import to_json

    return to_json(report, [Written(path, path) for path in written])


def _unused_inputs(options: argparse.Namespace) -> Sequence[str]:
    if options.verify or not options.input:
        return ()
    return ("the inputs were not read: only --verify needs them",)


def run_check(options: argparse.Namespace) -> Outcome:
    from ..folding.check import check

    reports = reports_asked_for(options)
    check_outputs(options, *reports)
    model = given.loaded(options)
    found = check(
        model,
        half_policy=options.half_policy,
        target=options.target,
        typed=given.typed(options, model.paths),
        **given.assumptions(options),
    )
    rendered = {path: partial(render, found) for path, render in reports.items()}
    write_reports(rendered, (*model.paths, *given.also_read(options)))
    lines: Sequence[str] = ()
    if not options.quiet:
        from ..report.terminal import check_report

        lines = check_report(found, options.verbose, tuple(reports))
    warnings = [*model.warnings, *(_boundless(found.activations) if options.half_sums else ())]
    return Outcome(
        found.status,
        tuple(lines),
        tuple(warnings),
        summary=Summary(found.verdict, {"overflow": _overflow(found.half)}, tuple(found.next)),
        document=partial(_check_document, found),
    )


def _check_document(found: Any) -> str:
    from ..report.json_report import check_to_json

    return check_to_json(found)


def _boundless(activations: Any) -> Sequence[str]:
    if activations.sums:
        return ()
    return ("--half-sums found no bound: no range of a bottom of a layer with weights is known; give --ranges",)


def run_show(options: argparse.Namespace) -> Outcome:
    from ..report.show import plan_report

    model = given.loaded(options)
    findings: Sequence[str] = ()
    if options.target:
        from .. import targets
        from ..report.target import finding_lines

        target = targets.find(options.target)
        findings = finding_lines(target, targets.findings(model, target), verbose=True)
    width = printing.terminal_width()
    lines = plan_report(model, options.folds, options.simplify, target=findings, width=width, verbose=options.verbose)
    return Outcome(0, tuple(lines), model.warnings)


def run_targets(options: argparse.Namespace) -> Outcome:
    from ..report.target import list_lines, target_lines
    from ..targets import TARGETS, find

    lines = target_lines(find(options.name)) if options.name else list_lines(TARGETS.values())
    return Outcome(0, tuple(lines))


def run_run(options: argparse.Namespace) -> Outcome:
    from ..execution.forward import Precision
    from ..execution.run import run
    from ..report.answers import run_report
    from ..report.lines import wrote_lines

    check_outputs(options, options.output)
    policy = given.half_policy(options)
    model = given.loaded(options)
    for warning in model.warnings:  # before the run: they may explain its error
        printing.warn(warning)
    blobs = options.blobs if options.blobs in ("outputs", "all") else options.blobs.split(",")
    inputs, labels = given.inputs(options, model)
    found = run(
        model,
        inputs,
        precision=Precision("half", half=policy) if options.precision == "half" else options.precision,
        blobs=blobs,
        seed=options.seed,
    )
    if options.output:
        write_arrays(options.output, found, (*model.paths, *given.also_read(options)))
    warnings = []
    if options.precision != "half" and policy.name != "ieee":
        warnings.append(f"half policy {policy.name} had no effect in {options.precision}: give --precision half")
    lines = [*run_report(found, labels), *wrote_lines([options.output] if options.output else [])]
    return Outcome(0, () if options.quiet else tuple(lines), tuple(warnings))


def run_verify(options: argparse.Namespace) -> Outcome:
    from ..judging.compare import verify
    from ..judging.problems import batch_norms
    from ..report.terminal import verify_report

    reports = reports_asked_for(options)
    check_outputs(options, *reports)
    first = given.loaded_from(options.net_a, options.weights_a, options)
    second = given.loaded_from(options.net_b, options.weights_b, options)
    inputs, labels = given.inputs(options, first)
    found = verify(
        first,
        second,
        inputs,
        **given.changed_blobs(options.rescaled),
        half_policy=given.half_policy(options) if options.precision == "half" else "off",
        min_snr=options.min_snr,
        tolerance=options.tolerance,
        seed=options.seed,
    )
    status = 1 if found.problems else 0
    warnings = [*first.warnings, *second.warnings]
    outputs = {value.blob for value in first.net.outputs}
    different = {row.blob for row in found.rows if not row.equal}
    if different and not options.rescaled and outputs.isdisjoint(different):
        warnings.append("only inner blobs differ: if fuse rescaled the second net, give its report with --rescaled")
    # The next command folds a second net with BatchNorm, or records ranges of the first net, for its fold.
    typed = given.typed(options, second.paths if batch_norms(second.net) else first.paths)
    paths = (*first.paths, *second.paths)
    facts: Dict[str, Any] = {
        options.report: (paths, found, status),
        options.html: ((first, second), found, typed, warnings),
    }
    rendered = {path: partial(render, *facts[path]) for path, render in reports.items()}
    write_reports(rendered, (*paths, *given.also_read(options)))
    lines = () if options.quiet else tuple(verify_report(found, typed, tuple(reports), labels))
    document = partial(_verify_document, paths, found, status)
    return Outcome(status, lines, tuple(warnings), document=document)


def _verify_document(paths: Sequence[str], found: Any, status: int) -> str:
    from ..report.json_report import verify_to_json

    return verify_to_json(paths, found, status)


def run_upgrade(options: argparse.Namespace) -> Outcome:
    from ..report.terminal import upgrade_report
    from ..upgrading.upgrade import upgrade

    net, weights = given.model_files(options)
    prefix = given.prefix(options.output, net, "upgraded")
    if options.no_clobber:
        check_outputs(options, *files_of(prefix))
    done = upgrade(net, weights, prefix)
    return Outcome(0, () if options.quiet else tuple(upgrade_report(done)), tuple(done.warnings))


def run_version(options: argparse.Namespace) -> Outcome:
    from .versions import version_lines

    return Outcome(0, tuple(version_lines(options.verbose)))
