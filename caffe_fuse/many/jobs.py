"""A job: what one command does with one model. It is made of words, so that any process can take it."""

from __future__ import annotations

import os
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from ..errors import InputError


class Job(NamedTuple):
    """options: words of the command line. own: the options that are this model's alone: where its outputs go.

    reads: the files that are read in addition to net and weights. targets: the files that may be written.
    """

    command: str
    net: str
    weights: str
    options: Tuple[str, ...] = ()
    own: Tuple[str, ...] = ()
    reads: Tuple[str, ...] = ()
    targets: Tuple[str, ...] = ()

    @property
    def words(self) -> Tuple[str, ...]:
        """The command line of this model alone."""
        return (self.command, self.net, self.weights, *self.options, *self.own)

    @property
    def inputs(self) -> Tuple[str, ...]:
        return (self.net, self.weights, *self.reads)


def require_apart(jobs: Sequence[Job], report: Optional[str]) -> None:
    """Raises InputError if two jobs would write the same file, or one would write what any of them reads."""
    remedy = "give each its own output in a manifest, or write to another folder"
    readers = {os.path.realpath(path): job for job in jobs for path in job.inputs}
    writers: Dict[str, str] = {} if report is None else {os.path.realpath(report): "the report"}
    for job in jobs:
        for target in job.targets:
            place = os.path.realpath(target)
            if place in readers:
                raise InputError(f"this output of {job.net} is an input", where=target, remedy=remedy)
            if place in writers:
                raise InputError(f"this is an output of {writers[place]} and of {job.net}", where=target, remedy=remedy)
            writers[place] = job.net
    if report is not None and os.path.realpath(report) in readers:
        raise InputError("the report is an input", where=report, remedy="choose another name")
