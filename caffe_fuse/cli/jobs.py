"""One job of many: the command of one model as a function of its words, and who calls it."""

from __future__ import annotations

import argparse
from typing import Sequence

from ..many.engines import Engine, Processes
from ..many.outcome import Outcome
from . import commands
from .arguments import parsed
from .failures import failed

# What the commands load, so that their processes need not.
_FOLDING = ("caffe_fuse.cli.jobs", "caffe_fuse.folding.fuse", "caffe_fuse.report.json_report")
_MODULES = {
    "fuse": _FOLDING,
    "check": _FOLDING,
    "calibrate": ("caffe_fuse.cli.jobs", "caffe_fuse.ranges.calibrate", "caffe_fuse.cli.samples"),
}


def engine(options: argparse.Namespace) -> Engine:
    """Who does the work. Raises InputError for a cluster that does not answer."""
    if options.dask:
        from ..many.cluster import Cluster

        return Cluster(options.dask)
    return Processes(options.jobs, _MODULES[options.command])


def perform(verbose: bool, words: Sequence[str]) -> Outcome:
    """Runs the command; an error is an outcome, too, but an interrupt is raised.

    verbose: the outcome has the lines of the report.
    """
    try:
        options = parsed(words)
        options.quiet, options.verbose = not verbose, verbose
        outcome: Outcome = getattr(commands, f"run_{options.command}")(options)
        return outcome
    except Exception as error:
        return failed(error)
