"""What a stranger asks first of a page, with the answers in plain words."""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Iterable, List, NamedTuple, Sequence

from ..folding.check import Checked
from ..folding.report import Report
from ..half.report import HalfReport
from ..judging.problems import CALIBRATE, batch_norms, steps
from ..net.graph import Layer
from ..ranges.expected import Activation
from ..wording import Remedy, Typed, counted
from .layers import sums_of

if TYPE_CHECKING:
    from ..judging.answers import HalfAnswer
    from ..judging.outcome import Verification

SAMPLES = Remedy("These inputs were random. Run it on your own ones", ("fuse", "--input", "SAMPLES"))
RUN = Remedy("Run both nets, and see their answers here", ("fuse", "--verify"))
WRITE = Remedy("Nothing was written (--dry-run): run the command without it")


class Answer(NamedTuple):
    """One question, and the sentences that answer it."""

    question: str
    sentences: Sequence[str]


def badness(answer: HalfAnswer) -> float:
    """A sort key: those without an SNR come first, then those with a small one."""
    return answer.snr if answer.snr == answer.snr else -inf


def of_fold(report: Report, outputs: Sequence[str]) -> List[Answer]:
    found = report.verification
    wrong = [*_weights(report.before, "the net as it was"), *_predicted(report.activations.before, "In it")]
    norms = len(batch_norms(report.nets[0]))
    if norms:
        wrong.append(f"It has {counted(norms, 'BatchNorm layer')}, which cost time in every run.")
    wrong += [
        f"Run in half precision, {_outcome(answer)}"
        for answer in (sorted(found.before, key=badness)[:1] if found else ())
    ]
    return [
        Answer("What was wrong?", wrong or ["Nothing was looked for: the half policy is off."]),
        Answer("What was done?", _done(report)),
        Answer("Is it right now?", _right(report)),
        Answer("What next?", _next(report, outputs)),
    ]


def of_check(checked: Checked) -> List[Answer]:
    weights = _weights(checked.half, "the net")
    problems = list(map(_sentence, checked.problems))
    good = ["Its weights can. Whether its answers are right there, a run on data shows: caffe-fuse verify."]
    if not checked.half.policy.checked:
        weights, good = ["Nothing was looked for: the half policy is off."], ["Not known."]
    return [
        Answer("What was looked at?", [*weights, *_predicted(checked.activations.before, "In it")]),
        Answer("Can it run in half precision?", ["No." if problems else "", *(problems or good)]),
        Answer("What next?", checked.next or _after_check(checked)),
    ]


def _after_check(checked: Checked) -> Sequence[str]:
    if any(row.overflow.size and not row.seen for row in checked.activations.before):
        return [CALIBRATE.in_full(checked.typed)]
    return ["Nothing has to be done."]


def of_verify(names: Sequence[str], found: Verification, typed: Typed) -> List[Answer]:
    first = found.first_difference
    rows = counted(len(found.rows), "blob")
    how = f"Net A ({names[0]}) and net B ({names[1]}) ran on the same inputs, and {rows} that both have were compared."
    same = "Yes: what differs is no more than rounding changes in A itself."
    if found.tolerance is not None:
        same = f"Yes: no blob differs by more than {found.tolerance:g} of its largest magnitude."
    equal = [same] if first is None else [f"No. They differ first in {first}."]
    ran = (("A", found.before), ("B", found.after))
    half = [_outcome(answer, f"{name}:") for name, answers in ran for answer in sorted(answers, key=badness)[:1]]
    wrong = [_sentence(problem) for problem in found.problems if problem.kind == ""]
    return [
        Answer("What was compared?", [how]),
        Answer("Is it the same net?", equal),
        Answer("Is it right in half precision?", [*wrong, *half] or ["Not looked at (--precision float32)."]),
        Answer("What next?", steps(found.problems, typed) or ["Nothing has to be done."]),
    ]


def _weights(half: HalfReport, whose: str) -> List[str]:
    """What half precision does to the weights; empty if that was not looked at."""
    if not half.policy.checked:
        return []
    bad = [row for row in half.rows if not row.stats.safe]
    sums = sums_of(half.rows)
    if not bad:
        return [f"No weight of {whose} is too large for half precision, which ends at 65504."]
    worst = max(bad, key=lambda row: (row.stats.overflow, row.stats.nan + row.stats.inf))
    parts = [f"{_are(sums.overflow)} too large for half precision, which ends at 65504"] if sums.overflow else []
    parts += [f"{_are(sums.broken)} NaN or infinite already"] if sums.broken else []
    most = f", up to {worst.stats.max_abs:.3g}" if worst.stats.overflow else ""
    return [f"Of the {counted(sums.count, 'weight')} of {whose}, {', and '.join(parts)}: most in {worst.layer}{most}."]


def _are(count: int) -> str:
    return f"{count:,} {'is' if count == 1 else 'are'}"


def _predicted(rows: Iterable[Activation], where: str) -> List[str]:
    """The activations that are too large."""
    large = [row for row in rows if row.overflow.size]
    if not large:
        return []
    origin = "were recorded" if large[0].seen else "are predicted"
    return [f"{where} {counted(len(large), 'activation blob')} {origin} to become too large, first {large[0].blob}."]


def _outcome(answer: HalfAnswer, whose: str = "its") -> str:
    """How good an output is in half precision."""
    name = f"{whose} output {answer.blob}"
    if answer.not_finite:
        return f"{name} has {counted(answer.not_finite, 'value')} that are NaN or infinite."
    if answer.snr != answer.snr:
        return f"{name} has another shape."
    top = {None: "", True: "; the top class is the same", False: "; the top class is another one"}[answer.top1]
    if answer.snr == float("inf"):
        return f"{name} is exact."
    return f"{name} is off by {answer.max_abs:.3g} ({answer.snr:.1f} dB){top}."


def _done(report: Report) -> List[str]:
    said = []
    if report.changes.folded:
        absorbed = {layer.index: layer for rewrite in report.changes.folded for layer in rewrite.absorbed}
        into = [rewrite.after for rewrite in report.changes.folded]
        said.append(
            f"{_kinds(absorbed.values())} layers were folded into {_kinds(into)} layers, which compute the same."
        )
    if report.changes.converted:
        chains = counted(len(report.changes.converted), "chain")
        said.append(f"{chains} that no layer could absorb became one Scale each.")
    if report.changes.simplified:
        said.append(f"{counted(len(report.changes.simplified), 'layer')} that change nothing were removed.")
    if report.rescaled:
        blobs = counted(len(report.rescaled), "blob")
        said.append(f"Powers of two moved between layers for {blobs}; this changes no answer in float32.")
    if report.target is not None and report.target.changes:
        said.append(f"{counted(len(report.target.changes), 'change')} for {report.target.target.title}.")
    if report.changes.refused:
        said.append(f"{counted(len(report.changes.refused), 'layer')} could not be folded; the reasons are below.")
    return said or ["Nothing: there is no layer to fold."]


def _kinds(layers: Iterable[Layer]) -> str:
    found = [f"{count} {name}" for name, count in Counter(layer.type for layer in layers).items()]
    return " and ".join([", ".join(found[:-1]), found[-1]] if found[1:] else found)


def _right(report: Report) -> List[str]:
    found = report.verification
    said = ["No.", *map(_sentence, report.problems)] if report.problems else []
    if not report.problems and found is not None:
        where = "In float32, yes" if any(answer.rough for answer in found.after) else "Yes"
        said.append(f"{where}: both nets ran on the same inputs, and in float32 they differ by no more than rounding.")
    elif not report.problems and report.after.policy.checked:
        said.append("Every weight of the new net fits half precision. Its answers were not tried.")
    elif not report.problems:
        said.append("Half precision was not looked at (half policy off).")
    if found is not None:
        worst = [answer for answer in sorted(found.after, key=badness)[:1] if not answer.lost]
        said += [f"In half precision{' only roughly:' if each.rough else ''} {_outcome(each)}" for each in worst]
    lost = 0 if report.flushed is None else report.flushed.lost_channels
    if lost:
        kept = "channel keeps" if lost == 1 else "channels keep"
        said.append(f"But {lost:,} {kept} less than 40 dB, an error of a hundredth, which may matter.")
    said += _predicted(report.activations.after, "But")
    if report.target is not None and report.target.left:
        what = counted(len(report.target.left), "thing")
        said.append(f"{report.target.target.title} does not take {what} of it, listed below.")
    return said


def _next(report: Report, outputs: Sequence[str]) -> Sequence[str]:
    if report.problems:
        return report.next
    words = report.typed.options
    said = [f"Use {' and '.join(outputs)} in place of the old files."] if outputs else []
    if "--dry-run" in words:
        said.append(WRITE.text + ".")
    if report.verification is None:
        said.append(RUN.in_full(report.typed))
    elif words and not {"--input", "--image"} & {word.split("=")[0] for word in words}:
        said.append(SAMPLES.in_full(report.typed))
    if any(row.overflow.size and not row.seen for row in report.activations.after):
        said.append(CALIBRATE.in_full(report.typed))
    return said or ["Nothing has to be done."]


def _sentence(what: object) -> str:
    words = str(what)
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"
