"""The stages of a fold, in their order: passes, half analysis, writing, proof. What comes in and out is a Model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Callable, Collection, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from . import half, passes
from .activations import Assumptions, Fold, assume, expected
from .bind import bind
from .blob import Blob
from .dialects import decide
from .emit import Outputs, Pending, Written, dropped_layers, edits, failure, in_half, planned
from .errors import InputError, InternalError, UnsafeResult
from .half import HalfReport
from .loader import PathLike
from .model import Model
from .net import Layer, Net
from .passes import Progress, Rewrite
from .passes.merge import is_batch_norm
from .prediction import SIGMAS
from .proof import prove
from .report import Report
from .rescale import MODES, Repair, rescaled_alone
from .rescale import rescale as repaired
from .scaled import Layout
from .weights import FORMATS, Format, read_weights
from .wire import Source

if TYPE_CHECKING:
    from .calibration import Calibration

STRICT = ("bn", "refused", "flush")
BLOB_TYPES = ("float32", "float16")
Reports = Mapping[str, Callable[[Report, Sequence[Written]], str]]


def fuse(
    model: Model,
    *,
    keep: Collection[str] = (),
    half_policy: str = "ieee",
    strict: Collection[str] = (),
    prune: bool = False,
    weights_format: Optional[str] = None,
    blob_type: str = "float32",
    bn_dialect: Optional[str] = None,
    rescale: str = "needed",
    keep_blobs: Collection[str] = (),
    sigmas: float = SIGMAS,
    ranges: Optional[Calibration] = None,
    half_sums: bool = False,
) -> Result:
    """Folds what can be folded; changes nothing in `model` and writes nothing.

    keep: names of layers that stay exactly as they are. half_policy: "ieee", or "off" for no verdict on the half
    range. strict: what else makes the result unsafe: "bn" a BatchNorm remains, "refused" anything was refused,
    "flush" a number becomes zero or subnormal. prune: `save` leaves out weights of layers that the net does not have.
    weights_format: "caffemodel" or "hdf5"; None for that of the input. blob_type: "float16" stores all numbers of
    Convolution, Deconvolution and InnerProduct layers as halves; "float32" leaves what is not new in its type.
    bn_dialect: how BatchNorm's blobs are read, where the files do not tell; `load` takes it as well.
    rescale: whether powers of two move between layers: "needed" if half precision loses a number otherwise, "always" or
    "never"; without a verdict on the half range nothing is needed. keep_blobs: names of blobs that keep their values.
    sigmas: how many deviations from its mean the bottom of a BatchNorm is taken to go, to predict activations. ranges:
    what was recorded of this model, which goes before predictions. half_sums: whether to bound the sums of devices that
    add in halves; it reads all weights once more.
    Raises InputError for options that do not fit the model.
    """
    _check_options(model, keep, half_policy, strict)
    _check_choice("weights format", weights_format, (None, *(format.name for format in FORMATS)))
    _check_choice("blob type", blob_type, BLOB_TYPES)
    model = model if bn_dialect is None else _read_as(model, bn_dialect)
    _check_rescale(model, rescale, keep_blobs)
    assumptions = assume(model.net, sigmas, ranges, half_sums)
    before = _analyse(model.net, half_policy)
    progress = passes.run(model.net, frozenset(keep))
    dropped = dropped_layers(model.net, model.excluded, progress.rewrites)
    left = tuple(layer for layer in model.excluded if layer not in dropped)
    repair = None
    if rescale == "always" or (rescale == "needed" and half.POLICIES[half_policy].checked):
        repair = repaired(
            progress.net, left, needed=rescale == "needed", kept=frozenset(keep), keep_blobs=frozenset(keep_blobs)
        )
    net = progress.net if repair is None else repair.net
    fused = replace(model, net=net, excluded=left, dropped=model.dropped + dropped)
    assert model.weights is not None
    format = weights_format or model.weights.format
    return Result(
        fused,
        model.net,
        assumptions,
        progress,
        before,
        half_policy,
        frozenset(strict),
        prune,
        format,
        blob_type,
        repair,
    )


def check_half(model: Model, *, half_policy: str = "ieee") -> HalfReport:
    """What half precision makes of each weight blob of the net."""
    _check_options(model, (), half_policy, ())
    return _analyse(model.net, half_policy)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What `fuse` gives: the new model, what was done, and `save`. original: the net before."""

    model: Model
    original: Net
    assumptions: Assumptions
    progress: Progress
    before: HalfReport
    half_policy: str
    strict: FrozenSet[str]
    prune: bool
    weights_format: str
    blob_type: str
    repair: Optional[Repair] = None

    def __repr__(self) -> str:
        return (
            f"<Result {len(self.progress.rewrites)} rewritten, {len(self.progress.refusals)} refused: {self.model!r}>"
        )

    @property
    def safe(self) -> bool:
        """Whether every number rounds to a finite half, and `strict` names nothing that happened."""
        return not self.report.problems

    @cached_property
    def report(self) -> Report:
        """What was folded, converted and refused, and what half precision makes of it."""
        after = _analyse(self.model.net, self.half_policy)
        rewrites = sorted(self.progress.rewrites, key=lambda rewrite: rewrite.after.index)
        refused = sorted(self.progress.refusals.values(), key=lambda refused: refused.layer.index)
        exponents = {} if self.repair is None else self.repair.values
        activations = expected(self.original, self.assumptions, Fold(self.model.net, rewrites, exponents))
        return Report(
            inputs=self.model.paths,
            folded=tuple(rewrite for rewrite in rewrites if rewrite.rule == "fold"),
            converted=tuple(rewrite for rewrite in rewrites if rewrite.rule == "merge"),
            refused=tuple(refused),
            vanished_blobs=_vanished(self.model.net, rewrites),
            dropped=self.model.dropped,
            before=self.before,
            after=after,
            rescaled={} if self.repair is None else self.repair.blobs,
            unrepaired=() if self.repair is None else self.repair.left,
            activations=activations,
            warnings=self.model.warnings + tuple(_new_layers(self.model)),
            problems=(
                *_problems(self.model.net, after, len(refused), self.strict),
                *self._not_half(),
                *activations.problems(after.policy),
            ),
        )

    def save(self, prefix: PathLike, *, force: bool = False, reports: Optional[Reports] = None) -> Tuple[str, str]:
        """Writes PREFIX.prototxt and the weight file, both or neither. Returns the paths of the weights and of the net.

        reports: path -> what makes the text of a report from the facts and the files written; they appear together
        with the model, or alone where it is unsafe.
        Every rewritten layer is proved on the numbers as they are read back. Raises UnsafeResult if not `safe`,
        unless `force`, and for a number that blob_type="float16" would make infinite; InputError for an output that is
        an input, or what the format cannot hold; SystemFailure when the system refuses; InternalError when a proof
        fails. Nothing is left behind then.
        """
        targets = self.targets(prefix)
        with Outputs(self.model.paths) as outputs:
            pages = [outputs.create(path) for path in reports or {}]
            files = [outputs.create(target) for target in targets]
            self._write(*files)
            refused = bool((self.report.problems and not force) or self._not_half())
            written = [] if refused else [Written(path, file.temporary) for path, file in zip(targets, files)]
            if refused:
                outputs.discard(files)
            for page, render in zip(pages, (reports or {}).values()):
                page.write_all(render(self.report, written).encode())
            outputs.commit()
        if refused:
            remedy = "save it as float32" if self._not_half() else "save it with force=True if you must"
            raise UnsafeResult("; ".join(self.report.problems), remedy=remedy)
        return targets

    def save_reports(self, reports: Reports) -> None:
        """Writes only the reports, all or none. Raises InputError and SystemFailure as `save` does."""
        with Outputs(self.model.paths) as outputs:
            pages = [outputs.create(path) for path in reports]
            for page, render in zip(pages, reports.values()):
                page.write_all(render(self.report, []).encode())
            outputs.commit()

    def _write(self, numbers: Pending, text: Pending) -> None:
        """The two files, proved."""
        weights = self.model.weights
        assert weights is not None
        format = _format_of(self.weights_format)
        original, entries = planned(self.model, weights, prune=self.prune, format=format.name, blob_type=self.blob_type)
        try:
            format.write(original, entries, numbers.write, half.metered)
            numbers.sync_soon()
        except OSError as error:
            raise failure(error, numbers.target) from error
        text.write_all(self.rendered())
        if not self._not_half():
            self.prove_written(numbers.temporary)

    def targets(self, prefix: PathLike) -> Tuple[str, str]:
        """The files that `save` writes: the weights and the net. Raises InputError for a prefix without a name."""
        assert self.model.weights is not None
        stem = stem_of(os.fspath(prefix))
        if not os.path.basename(stem):
            raise InputError(f"the output prefix {prefix!r} has no name in it", remedy="for example -o resnet50_fused")
        return stem + _format_of(self.weights_format).suffix, stem + ".prototxt"

    def rendered(self) -> bytes:
        """The new prototxt."""
        model = self.model
        return model.document.render(edits(model.document, model.source, model.net, model.dropped))

    def _not_half(self) -> List[str]:
        """Why blob_type="float16" cannot be had: no one wants an infinity, so there is no way to force it."""
        layers = [layer for layer in self.model.net.layers if self.blob_type == "float16" and in_half(layer)]
        bad = [layer for layer in layers if not all(half.measure(blob).safe for blob in layer.blobs)]
        return [f"float16 cannot hold the weights of {len(bad)} layers (first: {bad[0].name})"] if bad else []

    def prove_written(self, path: str) -> None:
        """Proves each rewritten layer on the numbers of a weight file."""
        written = read_weights(Source(path))
        stored: Dict[str, Sequence[Blob]] = {record.name: record.blobs for record in written.layers if record.blobs}
        if self.weights_format == "hdf5":  # which holds shared numbers once
            bound = bind(self.model.net, written, None).net
            stored = {layer.name: layer.blobs for layer in bound.layers if layer.blobs}
        powers = {} if self.repair is None else self.repair.powers
        rewrites = self.progress.rewrites
        for rewrite in (*rewrites, *rescaled_alone(self.model.source, powers, rewrites)):
            if rewrite.after.name not in stored:
                raise InternalError(f"layer {rewrite.after.name} is missing in the file that was written")
            prove(rewrite, stored[rewrite.after.name], powers.get(rewrite.after.index))


def stem_of(prefix: str) -> str:
    """PREFIX without an ending that `save` adds itself."""
    for ending in (".prototxt", *(format.suffix for format in FORMATS)):
        if prefix.endswith(ending) and os.path.basename(prefix) != ending:
            return prefix[: -len(ending)]
    return prefix


def _format_of(name: str) -> Format:
    return next(format for format in FORMATS if format.name == name)


def _check_choice(what: str, chosen: Optional[str], known: Sequence[Optional[str]]) -> None:
    if chosen not in known:
        names = ", ".join(name for name in known if name)
        raise InputError(f"there is no {what} {chosen}", remedy=f"choose from {names}")


def _check_options(model: Model, keep: Collection[str], half_policy: str, strict: Collection[str]) -> None:
    if model.weights is None:
        raise InputError("the model has no weights", where=model.document.path, remedy="give the .caffemodel as well")
    names = {layer.name for layer in model.net.layers}
    for name in keep:
        if name not in names:
            raise InputError(f"keep names {name}, which is no layer of the net", where=model.document.path)
    if half_policy not in half.POLICIES:
        raise InputError(f"there is no half policy {half_policy}", remedy=f"choose from {', '.join(half.POLICIES)}")
    for name in strict:
        if name not in STRICT:
            raise InputError(f"strict does not know {name}", remedy=f"choose from {', '.join(STRICT)}")


def _read_as(model: Model, bn_dialect: str) -> Model:
    said = decide(model.net).warnings
    decided = decide(model.net, bn_dialect)
    others = tuple(warning for warning in model.warnings if warning not in said)
    return replace(model, net=decided.net, warnings=others + decided.warnings)


def _check_rescale(model: Model, mode: str, keep_blobs: Collection[str]) -> None:
    if mode not in MODES:
        raise InputError(f"rescale cannot be {mode}", remedy=f"choose from {', '.join(MODES)}")
    for name in keep_blobs:
        if name not in model.net.blob_names:
            raise InputError(f"keep_blobs names {name}, which is no blob of the net", where=model.document.path)


def _analyse(net: Net, policy: str) -> HalfReport:
    entries = [
        (layer.name, number, blob, _layout(layer, number, blob))
        for layer in net.layers
        for number, blob in enumerate(layer.blobs)
    ]
    return half.analyse(entries, half.POLICIES[policy])


def _layout(layer: Layer, number: int, blob: Blob) -> Optional[Layout]:
    """Where the channels of a blob are: one number each, unless it holds the weights of a layer."""
    if layer.row is not None and layer.row.absorb is not None and number == 0:
        return layer.row.absorb.layout(layer.parameter, blob.shape)
    return Layout(1, 1, blob.count, 1) if blob.count in (1, max(blob.shape, default=1)) else None


def _vanished(net: Net, rewrites: Sequence[Rewrite]) -> Dict[str, Optional[str]]:
    names = set(net.blob_names)
    return {name: holder for rewrite in rewrites for name, holder in rewrite.vanished if name not in names}


def _new_layers(model: Model) -> List[str]:
    origins = {layer.index: layer for layer in model.source.layers}
    return [
        f"{layer.where}: {origins[layer.behind].name} ended in a {layer.type}, which is now layer {layer.name}"
        for layer in model.net.layers
        if layer.behind is not None
    ]


def _problems(net: Net, after: HalfReport, refused: int, strict: FrozenSet[str]) -> List[str]:
    problems: List[str] = []
    bad = [row for row in after.rows if not row.stats.safe]
    if bad:
        first = bad[0]
        problems.append(
            f"{sum(row.stats.overflow + row.stats.nan + row.stats.inf for row in bad)} numbers in {len(bad)} blobs are "
            f"not finite in half precision (first: layer {first.layer}, blob {first.blob})"
        )
    norms = [layer.name for layer in net.layers if is_batch_norm(layer)]
    if "bn" in strict and norms:
        problems.append(f"{len(norms)} BatchNorm layers remain: {', '.join(norms[:5])}")
    if "refused" in strict and refused:
        problems.append(f"{refused} layers were refused")
    flushed = sum(row.stats.subnormal + row.stats.underflow for row in after.rows)
    if "flush" in strict and flushed:
        problems.append(f"{flushed} numbers are subnormal or zero in half precision")
    return problems
