"""`fuse`, `check` and `calibrate` for many models: which they are, who does the work, one table and one report."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from .. import progress
from ..many.engines import Engine, Lost, in_turn
from ..many.entry import Finished, finished, lost
from ..many.jobs import Job, require_apart
from ..many.outcome import Outcome
from ..many.pairs import Left
from ..many.records import Records
from ..many.table import Row, table, worst
from . import printing
from .job_list import jobs_of
from .jobs import engine, perform
from .writing import check_outputs


def run_many(options: argparse.Namespace) -> Outcome:
    """Prints what concerns one model as soon as those before it are done, and returns the rest."""
    check_outputs(options, None if options.resume else options.report)
    workers = engine(options)
    jobs, left = jobs_of(options)
    require_apart(jobs, options.report)
    for each in left:
        printing.warn(f"{each.file}: not paired: {each.reason}")
    for folder in {os.path.dirname(target) for job in jobs for target in job.targets}:
        os.makedirs(folder or os.curdir, exist_ok=True)
    if not options.report:
        rows = [_told(options, job, each) for job, each in _work(options, workers, jobs, None)]
        return _outcome(options, rows, left)
    with Records(options.report, options.resume) as records:
        try:
            rows = [_told(options, job, each) for job, each in _work(options, workers, jobs, records)]
        except KeyboardInterrupt:
            printing.note(f"what is done is in {options.report}.partial: go on from there with --resume")
            raise
        inputs = [path for job in jobs for path in job.inputs]
        records.complete(options.command, left, worst(row.status for row in rows), inputs)
    return _outcome(options, rows, left, options.report)


def _work(
    options: argparse.Namespace, workers: Engine, jobs: Sequence[Job], records: Optional[Records]
) -> Iterator[Tuple[Job, Finished]]:
    """The jobs in their order, each when it is done and recorded."""
    reported = records is not None
    done: Dict[int, Finished] = {}
    if records is not None and options.resume:
        for turn, job in enumerate(progress.steps(jobs, len(jobs), "model")):
            before = records.done(turn, job)
            if before is not None:
                done[turn] = before
    open_turns = [turn for turn in range(len(jobs)) if turn not in done]
    tasks: List[Tuple[Any, ...]] = [(partial(perform, options.verbose), jobs[turn], reported) for turn in open_turns]

    def results() -> Iterator[Tuple[int, Finished]]:
        yield from done.items()
        for place, result in progress.steps(workers.results(finished, tasks), len(tasks), "model"):
            turn = open_turns[place]
            each = lost(jobs[turn], result.reason, reported) if isinstance(result, Lost) else result
            if records is not None:
                records.add(turn, each.text)
            yield turn, each

    for turn, each in in_turn(results()):
        yield jobs[turn], each


def _told(options: argparse.Namespace, job: Job, each: Finished) -> Row:
    """Prints what one model has to say, and returns its line in the table."""
    for warning in each.warnings:
        printing.warn(_placed(job, warning))
    if each.errors:
        first, *more = each.errors
        printing.complain(_placed(job, first), *more)
    if options.verbose and each.lines and not options.quiet:
        printing.report([f"{job.net} {job.weights}", *(f"  {line}" for line in each.lines)])
    return Row(job.net, each.status, each.summary)


def _placed(job: Job, message: str) -> str:
    return message if message.startswith((job.net, job.weights)) else f"{job.net}: {message}"


def _outcome(
    options: argparse.Namespace, rows: Sequence[Row], left: Sequence[Left], report: Optional[str] = None
) -> Outcome:
    wrote = [] if report is None else [f"wrote      {report}"]
    lines = () if options.quiet else (*table(rows, len(left)), *wrote)
    return Outcome(worst(row.status for row in rows), lines)
