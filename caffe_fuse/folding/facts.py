"""The stages of a fold in their order: passes, half range, range repair, target."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Mapping, NamedTuple, Optional, Tuple

from .. import passes
from ..emit.dropped import dropped_layers
from ..half import sampling
from ..half.measures import Measures
from ..half.report import HalfReport
from ..net.graph import Layer, Net
from ..net.model import Model
from ..passes import Progress
from ..ranges.expected import Assumptions
from .diagnosis import analyse_net
from .options import Options
from .repair import repaired

if TYPE_CHECKING:
    from ..rescale.rescale import Repair
    from ..targets import Adapted


class Folded(NamedTuple):
    """A model after all stages. left: its layers of other phases, before those that the target leaves out.

    repair: None if nothing moved. adapted: to the target, if there is one.
    """

    model: Model
    progress: Progress
    left: Tuple[Layer, ...]
    repair: Optional[Repair]
    adapted: Optional[Adapted]


class Facts:
    """What is known of one fold. Each stage is computed when it is asked for, and the weights are read once.

    `draft` needs no weights: it is the result if no value needs a repair, and all folded weights are finite. Whoever
    writes its blobs as `measures.watched` yields them has then measured those and the ones before; `final` decides
    from the measures, and reads only what is not measured by then.
    """

    def __init__(self, source: Model, options: Options, assumptions: Assumptions) -> None:
        self.source = source
        self.options = options
        self.assumptions = assumptions
        self.measures = Measures(options.policy)
        sampling.want(source.net.layers, self.measures)

    @cached_property
    def draft(self) -> Folded:
        options = self.options
        progress = passes.run(self.original, options.keep, folds=options.folds, simplify=options.simplify)
        return self._folded(progress, None)

    @property
    def first_try(self) -> Folded:
        """What to write first: the draft, unless the result is known already or will be another one."""
        is_known = "final" in vars(self)
        return self.final if is_known or self.options.repairs == "always" else self.draft

    @cached_property
    def final(self) -> Folded:
        """Raises InputError for weights that cannot be read."""
        options, draft = self.options, self.draft
        if options.policy.checked or options.repairs:
            nets = (draft.model.net, draft.progress.net, self.original)
            self.measures.of_all(blob for net in nets for layer in net.layers for blob in layer.blobs)
        not_finite = passes.beyond_float32(draft.progress, self.measures)
        if not_finite:
            progress = passes.settled(
                self.original,
                options.keep,
                measures=self.measures,
                folds=options.folds,
                simplify=options.simplify,
                not_finite=not_finite,
            )
            draft = self._folded(progress, None)
        repair = None
        if options.repairs is not None:
            needed, left = options.repairs == "needed", draft.left
            repair = repaired(draft.progress, left, options, self.assumptions, self.measures, needed=needed)
        return draft if repair is None else self._folded(draft.progress, repair)

    def _folded(self, progress: Progress, repair: Optional[Repair]) -> Folded:
        source, options = self.source, self.options
        dropped = dropped_layers(source.net, source.excluded, progress)
        left = tuple(layer for layer in source.excluded if layer not in dropped)
        net = progress.net if repair is None else repair.net
        model = replace(source, net=net, excluded=left, dropped=source.dropped + dropped)
        if options.target is None:
            return Folded(model, progress, left, repair, None)
        from ..targets import adapted  # only here: few name a target

        fitted = adapted(model, options.target, options.keep)
        return Folded(fitted.model, progress, left, repair, fitted)

    @property
    def original(self) -> Net:
        """The net before."""
        return self.source.net

    @cached_property
    def before(self) -> HalfReport:
        """The half range of the net before; after `final`, nothing is read for it."""
        assert self.final
        return analyse_net(self.original, self.measures)

    @property
    def model(self) -> Model:
        """The folded model."""
        return self.final.model

    @property
    def progress(self) -> Progress:
        return self.final.progress

    @property
    def repair(self) -> Optional[Repair]:
        return self.final.repair

    @property
    def adapted(self) -> Optional[Adapted]:
        return self.final.adapted

    @property
    def renamed(self) -> Mapping[str, str]:
        """The new name of each blob that got one for the target."""
        return {} if self.adapted is None else self.adapted.renamed

    @property
    def folded(self) -> Net:
        """The net after folds and range repair, before it was changed for a target."""
        return self.progress.net if self.repair is None else self.repair.net
