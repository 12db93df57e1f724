"""What a fold gives: the new model, the facts about it, and the safe way to its files."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from . import verdict
from .activations import Activations, Assumptions, Fold, expected
from .bind import bind
from .blob import Blob
from .diagnosis import Diagnosis, analyse_net, causes
from .emit import Outputs, Pending, Written, edits, failure, in_half, planned, stored
from .errors import InputError, InternalError, UnsafeResult
from .half import HalfReport
from .loader import PathLike
from .measures import Measures
from .model import Model
from .net import Layer, Net
from .passes import Progress, Refused, Rewrite
from .passes.proof import prove
from .report import Report
from .rescale import Repair, rescaled_alone
from .rounding import HalfPolicy
from .weights import FORMATS, Format, read_weights
from .wire import Source

if TYPE_CHECKING:
    from .verification import Verification

Reports = Mapping[str, Callable[[Report, Sequence[Written]], str]]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What `fuse` gives: the new model, what was done, and `save`. original: the net before."""

    model: Model
    original: Net
    assumptions: Assumptions
    progress: Progress
    measures: Measures
    before: HalfReport
    half_policy: HalfPolicy
    strict: FrozenSet[str]
    allow_bn: bool
    prune: bool
    weights_format: str
    blob_type: str
    repair: Optional[Repair] = None
    rescale: str = "never"
    verification: Optional[Verification] = None

    def __repr__(self) -> str:
        return (
            f"<Result {len(self.progress.rewrites)} rewritten, {len(self.progress.refusals)} refused: {self.model!r}>"
        )

    @property
    def safe(self) -> bool:
        """Whether no BatchNorm remains, every value rounds to a half near it, and nothing in `strict` has happened."""
        return not self.report.problems

    @cached_property
    def report(self) -> Report:
        """What was folded, converted and refused, and what half precision makes of it."""
        after = analyse_net(self.model.net, self.half_policy, self.measures)
        rewrites = sorted(self.progress.rewrites, key=lambda rewrite: rewrite.after.index)
        refused = sorted(self.progress.refusals.values(), key=lambda refused: refused.layer.index)
        exponents = {} if self.repair is None else self.repair.values
        activations = expected(self.assumptions, Fold(self.model.net, rewrites, exponents))
        why, left = causes(rewrites), () if self.repair is None else self.repair.left
        return Report(
            inputs=self.model.paths,
            folded=tuple(rewrite for rewrite in rewrites if rewrite.rule.verb == "folded"),
            converted=tuple(rewrite for rewrite in rewrites if rewrite.rule.verb == "converted"),
            refused=tuple(refused),
            vanished_blobs=_vanished(self.model.net, rewrites),
            dropped=self.model.dropped,
            before=self.before,
            after=after,
            before_channels=Diagnosis(self.original, self.before, self.measures, why, ()),
            after_channels=Diagnosis(
                self.model.net, after, self.measures, why, None if self.rescale == "never" else left
            ),
            rescaled={} if self.repair is None else self.repair.blobs,
            unrepaired=left,
            activations=activations,
            warnings=(*self.model.warnings, *_new_layers(self.model)),
            problems=self._problems(after, refused, activations),
            remaining=tuple(verdict.batch_norms(self.model.net)),
            verification=self.verification,
        )

    def _problems(
        self, after: HalfReport, refused: Sequence[Refused], activations: Activations
    ) -> Tuple[verdict.Problem, ...]:
        left = () if self.repair is None else self.repair.left
        repairing = verdict.repairing(self.rescale, left)
        return (
            *([] if self.allow_bn else verdict.remaining(self.model.net, refused)),
            *verdict.out_of_range(after, [repairing]),
            *verdict.demanded(self.strict, after, len(refused), self.rescale),
            *verdict.unstorable(self._not_half()),
            *verdict.seen_to_overflow(activations, after.policy, repairing),
            *(() if self.verification is None else self.verification.problems),
        )

    def verified(
        self, inputs: Optional[Mapping[str, Any]] = None, *, min_snr: Optional[float] = None, seed: int = 0
    ) -> Result:
        """The same with the two nets compared on inputs, as `verify` does, the new one as it will be stored.

        It is not safe where they differ, where an output in half has numbers that are not finite, though in float32
        they are, and, if `min_snr` is given, where one has fewer dB than that or another top class.
        """
        from .comparison import verify

        found = verify(
            replace(self.model, net=self.original),
            replace(self.model, net=stored(self.model.net, self.blob_type)),
            inputs,
            rescaled=self.report.rescaled,
            unrepaired=replace(self.model, net=self.progress.net) if self.report.rescaled else None,
            half_policy=self.half_policy,
            min_snr=min_snr,
            seed=seed,
        )
        return replace(self, verification=found)

    def save(
        self,
        prefix: PathLike,
        *,
        force: bool = False,
        reports: Optional[Reports] = None,
        inputs: Sequence[str] = (),
    ) -> Tuple[str, str]:
        """Writes PREFIX.prototxt and the weight file, both or neither. Returns the paths of the weights and of the net.

        reports: path -> what makes the text of a report from the facts and the files written; they appear together
        with the model, or alone where it is unsafe. inputs: files that no output may be, besides those of the model.
        Every rewritten layer is proved on the numbers as they are read back. Raises UnsafeResult if not `safe`,
        unless `force`, and for a number that blob_type="float16" would make infinite; InputError for an output that is
        an input, or what the format cannot hold; SystemFailure when the system refuses; InternalError when a proof
        fails. Nothing is left behind then.
        """
        targets = self.targets(prefix)
        with Outputs((*self.model.paths, *inputs)) as outputs:
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
            raise UnsafeResult("; ".join(map(str, self.report.problems)), remedy=remedy)
        return targets

    def save_reports(self, reports: Reports, *, inputs: Sequence[str] = ()) -> None:
        """Writes only the reports, all or none. Raises InputError and SystemFailure as `save` does."""
        with Outputs((*self.model.paths, *inputs)) as outputs:
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
            format.write(original, entries, numbers.write, self.measures.watched)
            numbers.sync_soon()
        except OSError as error:
            raise failure(error, numbers.target) from error
        text.write_all(self.rendered())
        if not self._not_half():
            self.prove_written(numbers.temporary)

    def targets(self, prefix: PathLike) -> Tuple[str, str]:
        """The files that `save` writes: the weights and the net. Raises InputError for a prefix without a name."""
        assert self.model.weights is not None
        stem = stem_of(prefix)
        return stem + _format_of(self.weights_format).suffix, stem + ".prototxt"

    def rendered(self) -> bytes:
        """The new prototxt."""
        model = self.model
        return model.document.render(edits(model.document, model.source, model.net, model.dropped))

    def _not_half(self) -> List[Layer]:
        """The layers because of which blob_type="float16" cannot be had."""
        layers = [layer for layer in self.model.net.layers if self.blob_type == "float16" and in_half(layer)]
        return [layer for layer in layers if not all(self.measures.of(blob).safe for blob in layer.blobs)]

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
            prove(rewrite, stored[rewrite.after.name], powers.get(rewrite.after.index), self.measures)


def stem_of(prefix: PathLike) -> str:
    """PREFIX without an ending that `save` adds itself. Raises InputError for one without a name."""
    prefix = os.fspath(prefix)
    if os.path.basename(prefix) in ("", os.curdir, os.pardir):
        raise InputError(f"the output prefix {prefix!r} has no name in it", remedy="for example -o resnet50_fused")
    for ending in (".prototxt", *(format.suffix for format in FORMATS)):
        if prefix.endswith(ending) and os.path.basename(prefix) != ending:
            return prefix[: -len(ending)]
    return prefix


def _format_of(name: str) -> Format:
    return next(format for format in FORMATS if format.name == name)


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
