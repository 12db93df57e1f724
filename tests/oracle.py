"""Folds new random nets, and compares them before and after the fold in real Caffe.

    python tests/oracle.py --nets 2000 --seed 1

Options of `fuse` and the form of the files are random too. The bound is that of truth.py: a float64 run of
tests/reference decides, and the error of the original is the larger of the errors of Caffe and tests/reference in
float32, on the inputs and some neighbouring ones. Without Caffe (`make oracle` installs it), tests/reference is used.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import reference
import rescaled
import truth
from judges import Answer, Judge, Question, Reference, Values, installed
from old_forms import as_v2
from random_cases import Case, Files, caffe_reads, random_case
from reference.files import read_weights

import caffe_fuse
from caffe_fuse.folding.report import Report

BATCH = 40  # nets of one process of Caffe


@dataclass(frozen=True)
class Fold:
    """The result of `fuse` for a case. halves: the same stored as float16, if that was an option."""

    case: Case
    after: Files
    halves: Optional[Files]
    report: Report


@dataclass
class Tally:
    """The results of all nets so far. wrong: a sentence for each fault."""

    nets: int = 0
    blobs: int = 0
    counted: Counter[str] = field(default_factory=Counter)
    worst: Dict[str, Tuple[float, int, str]] = field(default_factory=dict)  # by net: share of the bound, seed, blob
    wrong: List[str] = field(default_factory=list)

    def add(self, case: Case, differences: Sequence[truth.Difference]) -> None:
        self.nets += 1
        self.blobs += len(differences)
        for each in differences:
            share = each.share
            net, _, blob = each.blob.rpartition(" ")
            self.worst[net] = max(self.worst.get(net, (0.0, 0, "")), (share, case.seed, blob))
            if not share <= 1:
                self.wrong.append(f"seed {case.seed}: {each.blob} is off by {each.error:.3g}, bound {each.bound:.3g}")

    def lines(self) -> Iterator[str]:
        yield f"{self.nets} nets, {self.blobs} blobs compared, {len(self.wrong)} wrong"
        yield ", ".join(f"{count} {what}" for what, count in sorted(self.counted.items()))
        for net, (share, seed, blob) in self.worst.items():
            yield f"worst share of the bound, {net}: {share:.2f} (seed {seed}, blob {blob})"
        yield from self.wrong
        if self.wrong:
            yield "one net again, with its files kept: python tests/oracle.py --nets 1 --seed SEED --keep FOLDER"


def fold(case: Case, folder: Path) -> Fold:
    """Folds a case, and writes its inputs and outputs into a folder. Raises what the package raises."""
    names = [folder / "given.prototxt", folder / "given.weights"]
    for name, content in zip(names, case.given):
        name.write_bytes(content)
    options = {**case.options, "blob_type": "float32"}
    result = caffe_fuse.fuse(caffe_fuse.load(*names), **options)
    after = _saved(result, folder / "after")
    halves = None
    if case.options["blob_type"] == "float16":
        try:
            halves = _saved(caffe_fuse.fuse(caffe_fuse.load(*names), **case.options), folder / "halves")
        except caffe_fuse.UnsafeResult:
            halves = None  # a weight overflows fp16, which --force does not write either
    return Fold(case, after, halves, result.report)


def _saved(result: caffe_fuse.Result, prefix: Path) -> Files:
    weights, prototxt = result.save(prefix, force=True)
    return Path(prototxt).read_bytes(), Path(weights).read_bytes()


def questions(made: Fold) -> List[Question]:
    """Returns the questions for the original, the folded net, and the folded net stored as float16."""
    files = [made.case.model, made.after, *([made.halves] if made.halves else [])]
    return [Question(*each, made.case.inputs) for each in files]


def differences(made: Fold, answers: Sequence[Values]) -> List[truth.Difference]:
    """Compares original and fold with the float64 run of the original, and the float16 net with its own."""
    before, after, *halves = answers
    exact, bounds = measured(made.case.model, made.case)
    found = _compared("original", exact, bounds, before)
    for blob, each in zip(exact.last(), found):
        bounds[blob] = max(bounds[blob], truth.bound(each.error, exact.versions[blob][-1].magnitude))
    vanished = set(exact.versions) - set(after)
    assert vanished <= set(made.report.vanished_blobs), f"{vanished} vanished, and nobody was told"
    found += _compared("folded", exact, bounds, _unscaled(after, made.report.rescaled))
    if made.halves:
        found += _compared("in halves", *measured(made.halves, made.case), halves[0])
        found += list(_no_halves(made))
    return found


def measured(files: Files, case: Case) -> Tuple[reference.Trace, Dict[str, float]]:
    return truth.measured(*in_v2(Question(*files, case.inputs)), neighbours=3)


def in_v2(question: Question) -> Question:
    return question if caffe_reads(question.prototxt) else question._replace(prototxt=as_v2(question.prototxt))


def _compared(
    whose: str, exact: reference.Trace, bounds: Mapping[str, float], answer: Values
) -> List[truth.Difference]:
    return [
        truth.Difference(f"{whose} {blob}", truth.largest_error(expected, answer[blob]), bounds[blob])
        for blob, expected in exact.last().items()
        if blob in answer
    ]


def _unscaled(answer: Values, exponents: Mapping[str, Tuple[int, ...]]) -> Values:
    """Returns the values in float64, without the powers of two of the range repair."""

    def divided(blob: str, value: np.ndarray) -> np.ndarray:
        if blob not in exponents:
            return value
        return rescaled.multiplied(value.astype(np.float64), tuple(-each for each in exponents[blob]))

    return {blob: divided(blob, value) for blob, value in answer.items()}


def _no_halves(made: Fold) -> Iterator[truth.Difference]:
    """Yields blobs with an element that is not the nearest fp16 value; of two as near, either is right."""
    assert made.halves is not None
    wide, narrow = (dict(read_weights(files[1])[0]) for files in (made.after, made.halves))
    for layer, blobs in narrow.items():
        for place, blob in blobs.items():
            number = wide[layer][place].numbers.astype(np.float64)
            error = np.abs(number - blob.numbers)
            with np.errstate(over="ignore", invalid="ignore"):  # other layers have values that overflow fp16
                step = np.spacing(np.abs(number).astype(np.float16)).astype(np.float64)
            if not (error <= np.where(error > 0, step / 2 * (1 + 2.0**-11), 0)).all():
                yield truth.Difference(f"stored as half {layer}[{place}]", float(error.max()), truth.ulp(0))


def judged(seeds: Sequence[int], judge: Judge, folder: Path, tally: Tally) -> None:
    """Folds the nets of these seeds and adds the results; the files stay in the folder."""
    made: List[Fold] = []
    for seed in seeds:
        place = folder / str(seed)
        place.mkdir()
        case = random_case(seed)
        try:
            made.append(fold(case, place))
        except Exception as error:
            tally.wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
    asked = [(each, question) for each in made for question in questions(each)]
    for each, answers in _by_fold(asked, judge):
        try:
            texts = [answer for answer in answers if isinstance(answer, str)]
            if texts:
                tally.wrong.append(f"seed {each.case.seed}: {judge.name} stops: {texts[0]}")
                continue
            tally.add(each.case, differences(each, [answer for answer in answers if not isinstance(answer, str)]))
            tally.counted.update(_facts(each))
        except (AssertionError, ValueError, reference.CaffeAbort) as error:
            tally.wrong.append(f"seed {each.case.seed}: {type(error).__name__}: {error}")


def _by_fold(asked: Sequence[Tuple[Fold, Question]], judge: Judge) -> Iterator[Tuple[Fold, List[Answer]]]:
    """Yields each fold with its answers; what only a fork can read (BatchNorm in V1) is left to the reference."""
    read = [caffe_reads(question.prototxt) for _, question in asked]
    ours = iter(Reference().answers([in_v2(question) for (_, question), known in zip(asked, read) if not known]))
    theirs = iter(judge.answers([question for (_, question), known in zip(asked, read) if known]))
    found: Dict[int, Tuple[Fold, List[Answer]]] = {}
    for (each, _), known in zip(asked, read):
        found.setdefault(id(each), (each, []))[1].append(next(theirs if known else ours))
    yield from found.values()


def _facts(made: Fold) -> List[str]:
    report, options = made.report, made.case.options
    facts = [
        f"form {made.case.form}",
        f"rescale {options['rescale']}",
        f"to {options['weights_format'] or 'same format'}",
    ]
    facts += ["in halves"] * bool(made.halves) + ["keep"] * bool(options["keep"]) + ["repaired"] * bool(report.rescaled)
    facts += ["chains carried"] * len(report.carried)
    facts += ["layers folded"] * len(report.folded) + ["converted"] * len(report.converted)
    return facts + ["refused"] * len(report.refused) + ["blobs vanished"] * len(report.vanished_blobs)


def main() -> int:
    parser = argparse.ArgumentParser(description="Folds random nets, and compares them in real Caffe.")
    parser.add_argument("--nets", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first net; the others have the next ones")
    parser.add_argument("--keep", type=Path, help="a folder for the files of all nets")
    asked = parser.parse_args()
    judge, tally, started = installed(), Tally(), time.monotonic()
    print(f"judge: {judge.name}", flush=True)
    seeds = range(asked.seed, asked.seed + asked.nets)
    with tempfile.TemporaryDirectory() as scratch:
        for first in range(0, len(seeds), BATCH):
            with tempfile.TemporaryDirectory(dir=scratch) as batch:
                judged(seeds[first : first + BATCH], judge, asked.keep or Path(batch), tally)
            print(f"\r{tally.nets} nets", end="\r", file=sys.stderr, flush=True)
    print("\n".join(tally.lines()))
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
