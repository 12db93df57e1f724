"""The result of a fold: the new model, the facts about it, and `save`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..argument_types import DICT, FLAG, PATH, PATHS, expect
from ..display import Display, displayed
from ..emit.formats import stored
from ..half.report import HalfReport
from ..judging import problems as verdict
from ..net.graph import Layer
from ..net.load import PathLike
from ..net.model import Model
from ..passes import Refused
from ..ranges.expected import Activations, Fold, expected
from ..wording import Remedy, Typed, counted
from . import save as saving
from .diagnosis import Diagnosis, analyse_net
from .facts import Facts
from .options import Options
from .repair import repaired
from .report import Asked, Changes, Report
from .save import Reports

if TYPE_CHECKING:
    from ..judging.outcome import Verification


@displayed
@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The result of `fuse`: the new model, the facts of the fold and its options, and `save`."""

    facts: Facts
    verification: Optional[Verification] = None
    typed: Optional[Typed] = None

    @property
    def model(self) -> Model:
        return self.facts.model

    @property
    def options(self) -> Options:
        return self.facts.options

    def _display(self) -> Display:
        """Reads no weights: what they decide is shown once `report`, or what needs it, was asked for."""
        if "report" in vars(self):
            return Display(f"Result: {self.report.verdict}", self.report._display().rows)
        model, progress, *_ = self.facts.draft
        said = f"{counted(len(progress.rewrites), 'layer')} rewritten, {len(progress.refusals)} refused"
        rows = [("plan", said), ("verdict", "not known yet: .report, .safe and .save read the weights")]
        return Display(f"Result of {counted(len(model.net.layers), 'layer')}", rows)

    @property
    def safe(self) -> bool:
        """Whether no BatchNorm remains, every value rounds to an fp16 value near it, and `strict` is satisfied."""
        return not self.report.problems

    @cached_property
    def report(self) -> Report:
        """What was folded, converted and refused, and what half precision does to the result."""
        facts, net = self.facts, self.model.net
        after = analyse_net(net, facts.measures)
        rewrites = sorted(facts.progress.rewrites, key=lambda rewrite: rewrite.after.index)
        refusals = sorted(facts.progress.refusals.values(), key=lambda refused: refused.layer.index)
        refused = tuple(map(verdict.advised, refusals))
        exponents = {} if facts.repair is None else facts.repair.values
        # Of the net before the target gave blobs other names: exponents are by the names of that.
        activations = expected(facts.assumptions, Fold(facts.folded, facts.progress, exponents))
        left = () if facts.repair is None else facts.repair.left
        powers = {} if facts.repair is None else facts.repair.blobs
        looked_for = None if self.options.rescale == "never" else left
        return Report(
            typed=self.typed or Typed(self.model.paths),
            changes=Changes(
                folded=tuple(rewrite for rewrite in rewrites if rewrite.rule.verb == "folded"),
                converted=tuple(rewrite for rewrite in rewrites if rewrite.rule.verb == "converted"),
                carried=facts.progress.moves,
                simplified=facts.progress.removals,
                refused=refused,
                dropped=self._dropped(),
                unrepaired=left,
                remaining=tuple(verdict.batch_norms(net)),
            ),
            vanished_blobs=self._vanished(),
            nets=(facts.original, net),
            before=facts.before,
            after=after,
            before_channels=Diagnosis(facts.original, facts.before, facts.measures, rewrites, ()),
            after_channels=Diagnosis(net, after, facts.measures, rewrites, looked_for),
            rescaled={facts.renamed.get(name, name): exponents for name, exponents in powers.items()},
            activations=activations,
            warnings=(*self.model.warnings, *_new_layers(self.model)),
            problems=self._problems(after, refused, activations),
            verification=self.verification,
            target=self._asked(),
            name=self.model.name,
        )

    def _vanished(self) -> Dict[str, Optional[str]]:
        """The blobs that are no more, those that the target gave another name included."""
        left, renamed = set(self.model.net.blob_names), self.facts.renamed
        holders = {
            name: holder and renamed.get(holder, holder) for name, holder in self.facts.progress.vanished.items()
        }
        return {**holders, **{name: now for name, now in renamed.items() if name not in left}}

    def _dropped(self) -> Tuple[Layer, ...]:
        """The layers of other phases that a fold removed; the target may have no others."""
        changes = () if self.facts.adapted is None else self.facts.adapted.changes
        changed = {change.layer.index for change in changes}
        return tuple(layer for layer in self.model.dropped if layer.index not in changed)

    def _asked(self) -> Optional[Asked]:
        target, adapted = self.options.target, self.facts.adapted
        return (
            None if target is None or adapted is None else Asked(target, adapted.changes, adapted.left, adapted.renamed)
        )

    def _problems(
        self, after: HalfReport, refused: Sequence[Refused], activations: Activations
    ) -> Tuple[verdict.Problem, ...]:
        facts, options = self.facts, self.options
        repairing = verdict.repairing(options.rescale, () if facts.repair is None else facts.repair.left)
        return (
            *([] if options.allow_bn else verdict.remaining(self.model.net, refused)),
            *verdict.out_of_range(after, [repairing]),
            *verdict.demanded(options.strict, after, len(refused), self._flush_remedy),
            *verdict.unstorable(saving.layers_beyond_half(facts)),
            *verdict.seen_to_overflow(activations, after.policy, repairing),
            *(() if self.verification is None else self.verification.problems),
        )

    def _flush_remedy(self, flushed: int) -> Remedy:
        """The remedy for flushed values; whether `--rescale always` would reduce their count is tried."""
        facts, options = self.facts, self.options
        if options.rescale == "always":
            return verdict.TOO_WIDE
        excluded = self.model.excluded
        repair = repaired(facts.progress, excluded, options, facts.assumptions, facts.measures, needed=False)
        net = facts.progress.net if repair is None else repair.net
        left = verdict.flushed_in(analyse_net(net, facts.measures))
        return verdict.ALWAYS if left < flushed else verdict.NO_LIFT

    def verified(
        self, inputs: Optional[Mapping[str, Any]] = None, *, min_snr: Optional[float] = None, seed: int = 0
    ) -> Result:
        """The result with a comparison of the two nets on inputs, as by `verify`; the new one as it will be stored.

        It is not safe if they differ, if an output has values that are finite in float32 but not in half precision,
        and, with `min_snr`, if the SNR of an output is less than that or its top class is different.
        """
        from ..judging.compare import verify

        adapted = self.facts.adapted
        original = self.facts.original
        found = verify(
            replace(self.model, net=original if adapted is None else adapted.with_its_inputs(original)),
            replace(self.model, net=stored(self.model.net, self.options.blob_type)),
            inputs,
            rescaled=self.report.rescaled,
            renamed=self.facts.renamed,
            unrepaired=replace(self.model, net=self.facts.progress.net) if self.report.rescaled else None,
            half_policy=self.options.policy,
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

        reports: path -> a function that renders a report from the facts and the files written; they appear together
        with the model, or alone if it is unsafe. inputs: files that no output may be, in addition to those of the
        model. Every rewritten layer is proved on the weights as read back from the file. Raises UnsafeResult if not
        `safe`, unless `force`, and for a weight that blob_type="float16" would make infinite; InputError for an output
        that is an input, or for blobs that the format cannot hold; SystemFailure when the system refuses; InternalError
        when a proof fails. No file remains then. A signal to the main thread that arrives while the files are renamed
        takes effect when all have their names.
        """
        expect(PATH, prefix=prefix)
        expect(FLAG, force=force)
        expect(DICT.or_none(), reports=reports)
        expect(PATHS, inputs=inputs)
        return saving.save(self.facts, lambda: self.report, prefix, force=force, reports=reports or {}, inputs=inputs)

    def save_reports(self, reports: Reports, *, inputs: Sequence[str] = ()) -> None:
        """Writes only the reports, all or none. Raises InputError, SystemFailure and TypeError as `save` does."""
        expect(DICT, reports=reports)
        expect(PATHS, inputs=inputs)
        saving.save_reports(self.facts, self.report, reports, inputs=inputs)

    def targets(self, prefix: PathLike) -> Tuple[str, str]:
        """The files that `save` writes: the weights and the net. Raises InputError for a prefix without a name."""
        return saving.targets_of(self.options, prefix)


def _new_layers(model: Model) -> List[str]:
    origins = {layer.index: layer for layer in model.source.layers}
    return [
        f"{layer.where}: {origins[layer.follows].name} ended in a {layer.type}, which is now layer {layer.name}"
        for layer in model.net.layers
        if layer.follows is not None
    ]
