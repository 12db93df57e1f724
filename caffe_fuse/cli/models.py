"""Whether a command line is about one model or many."""

from __future__ import annotations

import argparse
import os
from typing import List

from ..errors import InputError
from .options import STDIN, STDOUT


def settled(options: argparse.Namespace) -> argparse.Namespace:
    """The options of a command that takes many models, with `many`; if not many, `net` and `weights` are set.

    Raises InputError for what is missing, and for options that one model has no use for.
    """
    if _typed_files(options).count(STDIN) > 1:
        raise InputError("two files are - (stdin)", remedy="give one of them by its name")
    if "files" not in options:
        return options
    files: List[str] = options.files
    options.many = bool(options.manifest or len(files) > 2 or (files and all(map(os.path.isdir, files))))
    _require(options)
    if not options.many:
        options.net, options.weights = files
    return options


def _typed_files(options: argparse.Namespace) -> List[str]:
    if "files" in options:
        return list(options.files)
    return [value for name, value in vars(options).items() if name.startswith(("net", "weights")) and value]


def _require(options: argparse.Namespace) -> None:
    calibrating, help_of = options.command == "calibrate", f"see caffe-fuse {options.command} --help"
    missing = []
    if calibrating:
        missing += [] if options.input or options.manifest else ["--input"]
        missing += [] if options.output or options.many else ["-o/--output"]
    if not options.many and not missing:
        missing = ["NET", "WEIGHTS"][len(options.files) :]
    if missing:
        raise InputError(f"the following arguments are required: {', '.join(missing)}", remedy=help_of)
    if options.jobs < 1:
        raise InputError(f"-j {options.jobs} is no count of processes", remedy="give, for example, -j 4")
    if calibrating and options.report and not options.many:
        raise InputError("--report of calibrate is for many models", remedy=help_of)
    if options.report == STDOUT and options.many:
        raise InputError("--report - is for one model", remedy="give the report of many models a file")
    if STDIN in options.files and (options.many or options.jobs > 1 or options.dask):
        raise InputError("- (stdin) is for one model in one process", remedy="give the file by its name")
    if options.resume and not (options.many and options.report):
        raise InputError("--resume is for many models with --report", remedy=help_of)
    if options.dask and not (options.many or calibrating):
        raise InputError("--dask is for many models, and for calibrate", remedy=help_of)
