"""What half precision does to a model as it is, without a fold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Optional, Tuple, Union

from ..argument_types import expect
from ..half.measures import Measures
from ..half.targets import policy_of
from ..judging import problems as verdict
from ..net.model import MODEL
from ..ranges.expected import assume, expected
from ..ranges.predict import SIGMAS
from ..wording import Typed
from .device import device
from .diagnosis import Diagnosis, analyse_net

if TYPE_CHECKING:
    from ..half.report import HalfReport
    from ..half.rounding import HalfPolicy
    from ..half.targets import HalfPolicyName
    from ..judging.problems import Problem
    from ..net.model import Model
    from ..ranges.calibrate import Calibration
    from ..ranges.expected import Activations, Assumptions
    from ..targets import Target
    from .report import Asked


def check_half(model: Model, *, half_policy: Union[HalfPolicyName, HalfPolicy] = "ieee") -> HalfReport:
    """The half-range report on each weight blob of the net.

    Raises InputError for an unknown policy, and for a model without weights; TypeError for a wrong type.
    """
    expect(MODEL, model=model)
    model.required_weights()
    return analyse_net(model.net, Measures(policy_of(half_policy)))


@dataclass(frozen=True, eq=False, repr=False)
class Checked:
    """The results of `check`; what only a report shows is computed when it is asked for.

    half: of all blobs. measures: of the same. assumptions: on which expectations of activations are based. typed: the
    files of the net, and the options.
    """

    model: Model
    half: HalfReport
    measures: Measures
    assumptions: Assumptions
    named: Optional[Target]
    typed: Typed

    @property
    def warnings(self) -> Tuple[str, ...]:
        return self.model.warnings

    @cached_property
    def channels(self) -> Diagnosis:
        """The causes of bad channels are those that a fold would have."""
        from .. import passes

        progress = passes.settled(self.model.net, measures=self.measures)
        return Diagnosis(self.model.net, self.half, self.measures, progress.rewrites)

    @cached_property
    def activations(self) -> Activations:
        return expected(self.assumptions)

    @cached_property
    def target(self) -> Optional[Asked]:
        """What the target does not take."""
        if self.named is None:
            return None
        from ..targets import findings
        from .report import Asked

        return Asked(self.named, (), findings(self.model, self.named), {})

    @cached_property
    def problems(self) -> Tuple[Problem, ...]:
        remedy = verdict.folding(self.model.net, self.half.policy)
        # Only recorded ranges are a problem; predicted ones need not be computed for this.
        seen = verdict.seen_to_overflow(self.activations, self.half.policy, remedy) if self.assumptions.observed else ()
        return (*verdict.out_of_range(self.half, [remedy]), *seen)

    @property
    def status(self) -> int:
        return 1 if self.problems else 0

    @property
    def verdict(self) -> str:
        return verdict.sentence(self.problems, self.half.policy.checked)

    @property
    def next(self) -> Tuple[str, ...]:
        return verdict.steps(self.problems, self.typed)


def check(
    model: Model,
    *,
    half_policy: Union[str, HalfPolicy, None] = None,
    target: Optional[str] = None,
    sigmas: float = SIGMAS,
    ranges: Optional[Calibration] = None,
    half_sums: bool = False,
    typed: Optional[Typed] = None,
) -> Checked:
    """The results of the command `check`. The options are those of `fuse`."""
    named, policy = device(half_policy, target)
    measures = Measures(policy)
    model.required_weights()
    assumptions = assume(model.net, sigmas, ranges, half_sums)
    found = analyse_net(model.net, measures)
    return Checked(model, found, measures, assumptions, named, typed or Typed(model.paths))
