"""Why a result is not safe to run in half precision, each reason with its remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..half.report import HalfReport, HalfRow
from ..half.rounding import HalfPolicy
from ..half.targets import TARGETS
from ..net.graph import Layer, Net
from ..wording import Remedy, Typed, counted, few

if TYPE_CHECKING:
    from ..passes import Refused
    from ..ranges.expected import Activations
    from ..rescale.rescale import Unrepaired
    from .answers import HalfAnswer
    from .outcome import BlobDifference

BATCH_NORM, DIFFERENT, REFUSED = "bn", "different", "refused"
ACCEPT = Remedy("accept it as it is", ("fuse", "--allow-bn"))
DAMAGED = Remedy("the weights are NaN or infinite in float32 already: give the undamaged ones")
ALWAYS = Remedy("lift small weights by powers of two", ("fuse", "--rescale", "always"))
TOO_WIDE = Remedy("--rescale always has moved all that powers of two can: small weights among large ones stay small")
NO_LIFT = Remedy("--rescale always would not help: no power of two lifts small weights among large ones")
CALIBRATE = Remedy(
    "record the ranges on samples, and give them to fuse with --ranges RANGES.json",
    ("calibrate", "--input", "SAMPLES", "-o", "RANGES.json"),
)


class Problem(NamedTuple):
    """One reason. kind: one of the three above, or "" for an effect of half precision. `str()` is what is wrong."""

    what: str
    remedies: Tuple[Remedy, ...] = ()
    kind: str = ""

    def __str__(self) -> str:
        return self.what


def sentence(problems: Sequence[Problem], checked: bool, remaining: int = 0) -> str:
    """The verdict. checked: whether the half range was checked. remaining: how many BatchNorm layers remain."""
    words = {
        BATCH_NORM: f"NOT BN-free: {_that_remain(remaining)}",
        DIFFERENT: "NOT the same net",
        REFUSED: "NOT all folded",
        "": "NOT safe in half precision",
    }
    kinds = {problem.kind for problem in problems}
    if kinds:
        return ", and ".join(phrase for kind, phrase in words.items() if kind in kinds)
    phrase = "safe: every value rounds to an fp16 value near it" if checked else "done; half range not checked"
    return f"{phrase}; {counted(remaining, 'BatchNorm layer')} accepted (--allow-bn)" if remaining else phrase


def steps(problems: Iterable[Problem], typed: Typed) -> Tuple[str, ...]:
    """What to do next, each step once."""
    return tuple(dict.fromkeys(remedy.in_full(typed) for problem in problems for remedy in problem.remedies))


def batch_norms(net: Net) -> List[Layer]:
    return [layer for layer in net.layers if layer.is_batch_norm]


def advised(refused: Refused) -> Refused:
    """The refusal, with a remedy if it is one of a BatchNorm: those are expected to be folded."""
    if refused.remedy is not None or not refused.layer.is_batch_norm:
        return refused
    return refused._replace(remedy=ACCEPT)


def remaining(net: Net, refusals: Iterable[Refused]) -> List[Problem]:
    """The problem that BatchNorm layers are left; the reasons are in the refusals."""
    left = batch_norms(net)
    if not left:
        return []
    indices = {layer.index for layer in left}
    known = [refused.remedy for refused in refusals if refused.layer.index in indices and refused.remedy is not None]
    names = few(layer.name for layer in left)
    return [Problem(f"{_that_remain(len(left))}: {names}", (*dict.fromkeys(known), ACCEPT), BATCH_NORM)]


def _that_remain(count: int) -> str:
    return f"{counted(count, 'BatchNorm layer')} remain{'s' if count == 1 else ''}"


def out_of_range(found: HalfReport, remedies: Sequence[Remedy]) -> List[Problem]:
    """Weights without an fp16 value near them. remedies: for those that are too large."""
    large, broken = ([row for row in found.rows if bad(row)] for bad in (_overflows, _is_broken))
    problems: List[Problem] = []
    if broken:  # first: no device can undo this loss
        count, first = sum(row.stats.nan + row.stats.inf for row in broken), broken[0]
        problems.append(Problem(f"{_place(count, broken)} NaN or infinite ({_first(first)})", (DAMAGED,)))
    if large:
        count, first = sum(row.stats.overflow for row in large), large[0]
        what = f"{_place(count, large)} {_fate(found.policy)} ({_first(first)})"
        problems.append(Problem(what, tuple(remedies)))
    return problems


def _fate(policy: HalfPolicy) -> str:
    """What becomes of values that are too large."""
    if policy.saturates:
        return f"beyond 65504, to which {policy.name} clips"
    return "not finite in half precision"


def folding(net: Net, policy: HalfPolicy) -> Remedy:
    """The remedy by `fuse` for a net whose weights are too large."""
    option = "--target" if policy.name in TARGETS else "--half-policy"
    command = ("fuse",) if policy.name == "ieee" else ("fuse", option, policy.name)
    if batch_norms(net):
        return Remedy("fold the BatchNorm layers, whose values half precision cannot hold", command)
    return Remedy("let range repair bring them into range by powers of two", command)


def repairing(mode: str, left: Sequence[Unrepaired]) -> Remedy:
    """The remedy for weights that are too large after a fold. mode: of `--rescale`."""
    if mode == "never":
        return Remedy("let range repair bring them into range by powers of two: omit --rescale never")
    names = dict.fromkeys(each.layer.name for each in left if each.overflow)
    return Remedy(f"no power of two helps: have the device keep these layers in float32: {few(names)}")


def _overflows(row: HalfRow) -> bool:
    return row.stats.overflow > 0


def _is_broken(row: HalfRow) -> bool:
    return row.stats.nan + row.stats.inf > 0


def _place(count: int, rows: Sequence[HalfRow]) -> str:
    return f"{counted(count, 'value')} in {counted(len(rows), 'blob')} {'is' if count == 1 else 'are'}"


def _first(row: HalfRow) -> str:
    return f"first: layer {row.layer}, blob {row.blob}"


def demanded(
    strict: Iterable[str], found: HalfReport, refused: int, remedy_of: Callable[[int], Remedy]
) -> List[Problem]:
    """The problems that `--strict` names. remedy_of: takes the count of values that become subnormal or zero."""
    problems: List[Problem] = []
    if "refused" in strict and refused:
        remedy = Remedy("accept the refusals: omit refused from --strict")
        problems.append(Problem(f"{counted(refused, 'layer')} refused", (remedy,), REFUSED))
    flushed = flushed_in(found)
    if "flush" in strict and flushed:
        what = f"{counted(flushed, 'value')} subnormal or zero in half precision"
        problems.append(Problem(what, (remedy_of(flushed),)))
    return problems


def flushed_in(found: HalfReport) -> int:
    """How many weights become subnormal or zero."""
    return sum(row.stats.subnormal + row.stats.underflow for row in found.rows)


def seen_to_overflow(found: Activations, policy: HalfPolicy, remedy: Remedy) -> List[Problem]:
    """The problem that recorded activations overflow."""
    bad = found.unsafe if policy.checked else []
    if not bad:
        return []
    what = f"{counted(len(bad), 'blob')} with recorded values that are {_fate(policy)}"
    return [Problem(f"{what} (first: {bad[0].blob} of layer {bad[0].layer})", (remedy,))]


def unstorable(layers: Sequence[Layer]) -> List[Problem]:
    """Layers whose weights blob_type="float16" would make infinite. That is never useful, so it cannot be forced."""
    if not layers:
        return []
    what = f"float16 cannot hold the weights of {counted(len(layers), 'layer')} (first: {layers[0].name})"
    return [Problem(what, (Remedy("store them as float32: omit --blob-type float16"),))]


def differing(first: Optional[BlobDifference]) -> List[Problem]:
    """The problem that two nets differ. first: the first blob that differs."""
    if first is None:
        return []
    remedy = Remedy("look at the first layer that differs", ("run", "--blobs", first.blob))
    return [Problem(f"the nets differ, first in {first}", (remedy,), DIFFERENT)]


def answering(answers: Sequence[HalfAnswer], min_snr: Optional[float], remedy: Remedy) -> List[Problem]:
    """Outputs that half precision damages. min_snr: in dB, what each must have; then its top class counts, too."""
    problems: List[Problem] = []
    lost = [answer for answer in answers if answer.lost]
    if lost:
        values = counted(lost[0].lost, "value")
        fate = "not finite" if lost[0].not_finite else "computed from clipped ones"
        what = f"output {lost[0].blob} has {values} finite in float32 and {fate} in half precision{_more(lost)}"
        problems.append(Problem(what, (remedy,)))
    if min_snr is None:
        return problems
    low = [answer for answer in answers if not answer.snr >= min_snr]
    if low:
        what = f"output {low[0].blob} has an SNR of {low[0].snr:.1f} dB in half precision{_more(low)}"
        problems.append(Problem(f"{what}, below the {min_snr:g} dB asked for", (remedy,)))
    others = [answer for answer in answers if answer.top1 is False]
    if others:
        problems.append(
            Problem(f"output {others[0].blob} has a different top class in half precision{_more(others)}", (remedy,))
        )
    return problems


def _more(answers: Sequence[HalfAnswer]) -> str:
    return f", and {counted(len(answers) - 1, 'output')} more" if len(answers) > 1 else ""
