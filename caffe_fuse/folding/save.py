"""Writes the result of a fold, the two files and the reports, all or none, and proves what was written."""

from __future__ import annotations

import os
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..blobs.blob import Blob
from ..emit.formats import in_half, planned
from ..emit.text import edits
from ..errors import InputError, InternalError, UnsafeResult
from ..files.outputs import Outputs, Pending, Written, failure
from ..net.bind import bind
from ..net.graph import Layer
from ..net.load import PathLike
from ..net.model import Model
from ..passes import Rewrite
from ..passes.proof import prove
from ..protobuf.wire import Source
from ..weights import FORMATS, Format, read_weights
from .facts import Facts
from .options import Options
from .report import Report

Reports = Mapping[str, Callable[[Report, Sequence[Written]], str]]


def save(
    facts: Facts,
    reported: Callable[[], Report],
    prefix: PathLike,
    *,
    force: bool,
    reports: Reports,
    inputs: Sequence[str],
) -> Tuple[str, str]:
    """Implements `Result.save`. reported: makes the report, for which it measures what was not measured yet."""
    targets = targets_of(facts.options, prefix)
    with Outputs((*facts.source.paths, *inputs)) as outputs:
        pages = [outputs.create(path) for path in reports]
        files = [outputs.create(target) for target in targets]
        _write(facts, files)
        report, unstorable = reported(), layers_beyond_half(facts)
        refused = bool((report.problems and not force) or unstorable)
        written = [] if refused else [Written(path, file.temporary) for path, file in zip(targets, files)]
        if refused:
            outputs.discard(files)
        for page, render in zip(pages, reports.values()):
            page.write_all(render(report, written).encode())
        outputs.commit()
    if refused:
        remedy = "save it as float32" if unstorable else "save it with force=True to override"
        raise UnsafeResult("; ".join(map(str, report.problems)), remedy=remedy)
    return targets


def save_reports(facts: Facts, report: Report, reports: Reports, *, inputs: Sequence[str]) -> None:
    """Writes only the reports, all or none."""
    with Outputs((*facts.source.paths, *inputs)) as outputs:
        pages = [outputs.create(path) for path in reports]
        for page, render in zip(pages, reports.values()):
            page.write_all(render(report, []).encode())
        outputs.commit()


def _write(facts: Facts, files: Sequence[Pending]) -> None:
    """Writes the weights, then the net, and proves them.

    The draft is written first, and measured on the way; where the measures say that it is not what is wanted, the
    result is written over it.
    """
    binary, text = files
    try:
        tried = facts.first_try
        _write_weights(facts, tried.model, binary)
        if facts.final is not tried:
            binary.file.truncate(0)
            _write_weights(facts, facts.model, binary)
        binary.sync_soon()
    except OSError as error:
        raise failure(error, binary.target) from error
    text.write_all(rendered(facts.model, facts.options))
    if not layers_beyond_half(facts):
        prove_written(facts, binary.temporary)


def _write_weights(facts: Facts, model: Model, file: Pending) -> None:
    assert model.weights is not None
    options, format = facts.options, _format_of(facts.options.weights_format)
    original, entries = planned(
        model, model.weights, prune=options.prune, format=format.name, blob_type=options.blob_type
    )
    format.write(original, entries, file.write, facts.measures.watched)


def targets_of(options: Options, prefix: PathLike) -> Tuple[str, str]:
    """The paths of the weights and of the net. Raises InputError for a prefix without a name."""
    stem = stem_of(prefix)
    return stem + _format_of(options.weights_format).suffix, stem + ".prototxt"


def rendered(model: Model, options: Options) -> bytes:
    """The new prototxt."""
    fields: Sequence[Layer] = ()
    if options.input_fields:
        from ..targets.inputs import input_layers

        fields = input_layers(model.net)
    new = edits(model.document, model.source, model.net, model.dropped, fields)
    return model.document.render(new)


def layers_beyond_half(facts: Facts) -> List[Layer]:
    """The layers whose weights blob_type="float16" cannot hold."""
    if facts.options.blob_type != "float16":
        return []
    layers = [layer for layer in facts.model.net.layers if in_half(layer)]
    return [layer for layer in layers if not all(facts.measures.of(blob).safe for blob in layer.blobs)]


def prove_written(facts: Facts, path: str) -> None:
    """Proves each rewritten layer on the weights in a file.

    Where a target has them in another order, the file must hold these, and the fold is proved on those before: that the
    layer computes the same with both has been proved when it was changed.
    """
    written = read_weights(Source(path))
    stored: Dict[str, Sequence[Blob]] = {record.name: record.blobs for record in written.layers if record.blobs}
    if facts.options.weights_format == "hdf5":  # which has shared blobs once
        bound = bind(facts.model.net, written, None).net
        stored = {layer.name: layer.blobs for layer in bound.layers if layer.blobs}
    powers = {} if facts.repair is None else facts.repair.powers
    rewrites = facts.progress.rewrites
    alone: Sequence[Rewrite] = ()
    if powers:
        from ..rescale.rescale import rescaled_alone

        alone = rescaled_alone(facts.original, powers, rewrites)
    folded = {layer.index: layer for layer in facts.folded.layers}
    final = {layer.index: layer for layer in facts.model.net.layers}
    for rewrite in (*rewrites, *alone):
        before, after = folded[rewrite.after.index], final[rewrite.after.index]
        if after.name not in stored:
            raise InternalError(f"layer {after.name} is missing from the file that was written")
        blobs = stored[after.name]
        if after.blobs[0] is not before.blobs[0]:
            if not all(map(_holds, blobs, after.blobs)):
                raise InternalError(f"layer {after.name} has other weights in the file that was written")
            blobs = before.blobs
        prove(rewrite, blobs, powers.get(rewrite.after.index), facts.measures)


def _holds(found: Blob, blob: Blob) -> bool:
    return np.array_equal(found.array().ravel(), blob.in_type(found.dtype).array().ravel())


def stem_of(prefix: PathLike) -> str:
    """PREFIX without a suffix that `save` adds itself. Raises InputError for one without a name."""
    prefix = os.fspath(prefix)
    if os.path.basename(prefix) in ("", os.curdir, os.pardir):
        raise InputError(
            f"the output prefix {prefix!r} has no file name", remedy="give, for example, -o resnet50_fused"
        )
    for ending in (".prototxt", *(format.suffix for format in FORMATS)):
        if prefix.endswith(ending) and os.path.basename(prefix) != ending:
            return prefix[: -len(ending)]
    return prefix


def _format_of(name: str) -> Format:
    return next(format for format in FORMATS if format.name == name)
