"""The stages of a fold, in their order: passes, half analysis, writing, proof. What comes in and out is a Model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Collection, Dict, FrozenSet, List, Optional, Sequence, Tuple

from . import half, passes
from .blob import Blob, Layout
from .emit import Outputs, dropped_layers, edits, failure, plan
from .errors import InputError, InternalError, UnsafeResult
from .half import HalfReport
from .loader import PathLike
from .model import Model
from .net import Layer, Net
from .passes import Progress, Rewrite
from .passes.merge import is_batch_norm
from .proof import prove
from .report import Report
from .rescale import MODES, Repair, rescaled_alone
from .rescale import rescale as repaired
from .weights import FORMATS, Format, read_weights
from .wire import Source

STRICT = ("bn", "refused", "flush")


def fuse(
    model: Model,
    *,
    keep: Collection[str] = (),
    half_policy: str = "ieee",
    strict: Collection[str] = (),
    prune: bool = False,
    rescale: str = "needed",
    keep_blobs: Collection[str] = (),
) -> Result:
    """Folds what can be folded; changes nothing in `model` and writes nothing.

    keep: names of layers that stay exactly as they are. half_policy: "ieee", or "off" for no verdict on the half
    range. strict: what else makes the result unsafe: "bn" a BatchNorm remains, "refused" anything was refused,
    "flush" a number becomes zero or subnormal. prune: `save` leaves out weights of layers that the net does not have.
    rescale: whether powers of two move between layers: "needed" if half precision loses a number otherwise, "always" or
    "never"; without a verdict on the half range nothing is needed. keep_blobs: names of blobs that keep their values.
    Raises InputError for options that do not fit the model.
    """
    _check_options(model, keep, half_policy, strict)
    _check_rescale(model, rescale, keep_blobs)
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
    return Result(fused, progress, before, half_policy, frozenset(strict), prune, repair)


def check_half(model: Model, *, half_policy: str = "ieee") -> HalfReport:
    """What half precision makes of each weight blob of the net."""
    _check_options(model, (), half_policy, ())
    return _analyse(model.net, half_policy)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What `fuse` gives: the new model, what was done, and `save`."""

    model: Model
    progress: Progress
    before: HalfReport
    half_policy: str
    strict: FrozenSet[str]
    prune: bool
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
            warnings=self.model.warnings,
            problems=tuple(_problems(self.model.net, after, len(refused), self.strict)),
        )

    def save(self, prefix: PathLike, *, force: bool = False) -> Tuple[str, str]:
        """Writes PREFIX.prototxt and the weight file, both or neither. Returns the paths of the weights and of the net.

        Every rewritten layer is proved on the numbers as they are read back. Raises UnsafeResult if not `safe`,
        unless `force`; InputError for an output that is an input; SystemFailure when the system refuses; InternalError
        when a proof fails. Nothing is left behind then.
        """
        weights = self.model.weights
        assert weights is not None
        format = _format_of(weights.format)
        targets = self.targets(prefix)
        with Outputs(self.model.paths) as outputs:
            numbers, text = (outputs.create(target) for target in targets)
            try:
                format.write(weights, plan(self.model, weights, self.prune), numbers.write, half.metered)
                numbers.sync_soon()
                text.write(0, memoryview(self.rendered()))
            except OSError as error:
                raise failure(error, targets[0]) from error
            self.prove_written(numbers.temporary)
            if self.report.problems and not force:
                raise UnsafeResult("; ".join(self.report.problems), remedy="save it with force=True if you must")
            outputs.commit()
        return targets

    def targets(self, prefix: PathLike) -> Tuple[str, str]:
        """The files that `save` writes: the weights and the net. Raises InputError for a prefix without a name."""
        assert self.model.weights is not None
        stem = stem_of(os.fspath(prefix))
        if not os.path.basename(stem):
            raise InputError(f"the output prefix {prefix!r} has no name in it", remedy="for example -o resnet50_fused")
        return stem + _format_of(self.model.weights.format).suffix, stem + ".prototxt"

    def rendered(self) -> bytes:
        """The new prototxt."""
        model = self.model
        return model.document.render(edits(model.document, model.source, model.net, model.dropped))

    def prove_written(self, path: str) -> None:
        """Proves each rewritten layer on the numbers of a weight file."""
        stored: Dict[str, Sequence[Blob]] = {
            record.name: record.blobs for record in read_weights(Source(path)).layers if record.blobs
        }
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
