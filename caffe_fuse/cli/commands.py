"""What each command of `caffe-fuse` does: it calls the library, writes files, and prints the result."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

from ..errors import InputError, UnsafeResult
from ..wording import counted
from . import options as given
from . import printing


def run_fuse(options: argparse.Namespace) -> int:
    from ..folding.fuse import fuse

    if options.min_snr is not None and not options.verify:
        raise InputError("--min-snr needs --verify", remedy="give both")
    model, upgraded = given.loaded_for_target(options)
    prefix = given.prefix(options.output, model.document.path)
    reports = _reports(options)
    _check_folders(*reports, None if options.dry_run else prefix)
    result = fuse(
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
    if options.verify:
        result = result.verified(given.inputs(options, model), min_snr=options.min_snr, seed=options.seed)
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
    warnings = [*report.warnings, *_boundless(options, report.activations), *_unused_inputs(options)]
    lines = [f"upgraded   {line}" for line in upgraded]
    if not options.quiet:  # what only the report shows need not be computed
        from ..report.terminal import fold_report

        lines += fold_report(report, written, options.verbose)
    _print(options, lines, warnings)
    return report.status


def _unused_inputs(options: argparse.Namespace) -> Sequence[str]:
    if options.verify or not (options.input or options.image):
        return ()
    return ("the inputs were not read: only --verify needs them",)


def run_check(options: argparse.Namespace) -> int:
    from ..folding.fuse import check
    from ..report.json_report import check_to_json
    from ..report.terminal import check_report

    _check_folders(options.report)
    model = given.loaded(options)
    found = check(model, half_policy=options.half_policy, target=options.target, **given.assumptions(options))
    found = found._replace(typed=given.typed(options, model.paths))
    if options.report:
        _write_report(options.report, check_to_json(found), (*model.paths, *given.also_read(options)))
    warnings = [*model.warnings, *_boundless(options, found.activations)]
    _print(options, check_report(found, options.verbose), warnings)
    return found.status


def _boundless(options: argparse.Namespace, activations: Any) -> Sequence[str]:
    if activations.sums or not options.half_sums:
        return ()
    return ("--half-sums found no bound: no range of a bottom of a layer with weights is known; give --ranges",)


def run_calibrate(options: argparse.Namespace) -> int:
    from ..execution.run import input_shapes
    from ..ranges.calibrate import calibrate
    from .samples import open_samples

    _check_folders(options.output)
    model = given.loaded(options)
    shapes = input_shapes(model.net)
    pixels = given.pixels(options)
    sets = [open_samples(path, shapes, pixels) for path in options.input]
    # The batch size of the net.
    size = next((shape[0] for shape in shapes.values() if shape and shape[0]), 1)
    batches = [batch for samples in sets for batch in samples.batches(size)]
    watched = batches if options.quiet else _watched(batches)
    found = calibrate(model, (read() for read in watched))
    _write_report(options.output, found.to_json(), (*model.paths, *given.also_read(options)))
    summary = f"recorded   {counted(len(found.values), 'blob')}, {counted(found.samples, 'sample')}"
    _print(options, [summary, f"wrote      {options.output}"], model.warnings)
    return 0


def _watched(items: Sequence[Any]) -> Iterable[Any]:
    """The items, with a progress bar on a terminal."""
    bar = _bar(len(items), "batch")
    if bar is None:
        return items
    return _advancing(items, bar)


def _advancing(items: Sequence[Any], bar: Any) -> Iterable[Any]:
    with bar:
        for item in items:
            yield item
            bar.update()


def _bar(total: int, unit: str) -> Any:
    """A progress bar; None if stderr is no terminal, or tqdm is not installed."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, unit=unit, file=sys.stderr, leave=False)


def run_show(options: argparse.Namespace) -> int:
    from ..report.show import plan_report

    model = given.loaded(options)
    lines = plan_report(model, options.folds, options.simplify)
    if options.target:
        from ..report.target import finding_lines
        from ..targets import find, findings

        target = find(options.target)
        lines += finding_lines(target, findings(model, target), verbose=True)
    _print(argparse.Namespace(quiet=False), lines, model.warnings)
    return 0


def run_targets(options: argparse.Namespace) -> int:
    from ..report.target import list_lines, target_lines
    from ..targets import TARGETS, find

    lines = target_lines(find(options.name)) if options.name else list_lines(TARGETS.values())
    _print(argparse.Namespace(quiet=False), lines, ())
    return 0


def run_run(options: argparse.Namespace) -> int:
    from ..execution.forward import Precision
    from ..execution.run import run
    from ..report.terminal import run_report

    _check_folders(options.output)
    policy = given.half_policy(options)
    model = given.loaded(options)
    for warning in model.warnings:  # before the run: they may explain its error
        printing.warn(warning)
    blobs = options.blobs if options.blobs in ("outputs", "all") else options.blobs.split(",")
    found = run(
        model,
        given.inputs(options, model),
        precision=Precision("half", half=policy) if options.precision == "half" else options.precision,
        blobs=blobs,
        seed=options.seed,
    )
    if options.output:
        _write_arrays(options.output, found, (*model.paths, *given.also_read(options)))
    warnings = []
    if options.precision != "half" and policy.name != "ieee":
        warnings.append(f"half policy {policy.name} had no effect in {options.precision}: give --precision half")
    _print(options, run_report(found, options.output), warnings)
    return 0


def run_verify(options: argparse.Namespace) -> int:
    from ..judging.compare import verify
    from ..judging.problems import batch_norms
    from ..report.terminal import verify_report

    _check_folders(options.report)
    first = given.loaded_from(options.net_a, options.weights_a, options)
    second = given.loaded_from(options.net_b, options.weights_b, options)
    found = verify(
        first,
        second,
        given.inputs(options, first),
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
    if options.report:
        from ..report.json_report import verify_to_json

        paths = (*first.paths, *second.paths)
        _write_report(options.report, verify_to_json(paths, found, status), (*paths, *given.also_read(options)))
    # The next command folds a second net with BatchNorm, or records ranges of the first net, for its fold.
    next_files = second.paths if batch_norms(second.net) else first.paths
    _print(options, verify_report(found, given.typed(options, next_files)), warnings)
    return status


def _write_arrays(path: str, arrays: Dict[str, Any], others: Sequence[str]) -> None:
    """Writes arrays as numpy.savez does, which accepts no array named `file`."""
    import io
    import zipfile

    import numpy as np

    from ..files.outputs import Outputs

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    with Outputs(others) as outputs:
        outputs.create(path).write_all(buffer.getvalue())
        outputs.commit()


def run_upgrade(options: argparse.Namespace) -> int:
    from ..report.terminal import upgrade_report
    from ..upgrading.upgrade import upgrade

    done = upgrade(options.net, options.weights, given.prefix(options.output, options.net, "upgraded"))
    _print(options, upgrade_report(done), done.warnings)
    return 0


def _check_folders(*outputs: Optional[str]) -> None:
    """Reports missing folders before the work, which may take long, and not only when a file is written."""
    from ..files.outputs import check_folder

    for output in outputs:
        if output:
            check_folder(output)


def _reports(options: argparse.Namespace) -> Dict[str, Any]:
    """The function that renders each requested report, by its path."""
    wanted: Dict[str, Any] = {}
    if options.report:
        from ..report.json_report import to_json

        wanted[options.report] = to_json
    if options.html:
        from ..report.page import to_html

        wanted[options.html] = to_html
    if options.report and options.html and len(wanted) < 2:
        raise InputError(f"--report and --html both name {options.html}", remedy="give each its own file")
    return wanted


def _write_report(path: str, text: str, others: Sequence[str]) -> None:
    from ..files.outputs import Outputs

    with Outputs(others) as outputs:
        outputs.create(path).write_all(text.encode())
        outputs.commit()


def _print(options: argparse.Namespace, lines: Sequence[str], warnings: Sequence[str]) -> None:
    for warning in warnings:
        printing.warn(warning)
    if not options.quiet:
        printing.report(lines)
