"""The jobs that a command line with many models asks for."""

from __future__ import annotations

import argparse
import os
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import InputError
from ..many import manifest
from ..many.jobs import Job
from ..many.pairs import Found, Left, Pair, in_folder, of_files
from . import options as given
from .arguments import OF_MANY, parsed, words_of
from .writing import files_of

_WITH_PATHS = ("--input", "--image", "--mean", "--ranges")
_UNSET = "\0"  # no path
_MAKE_FOLDER = "create it, or write / at the end of its name"


class _Model(NamedTuple):
    """One model before it is a job. name: of what is made, without the folder; options: with its own words."""

    pair: Pair
    name: str
    options: argparse.Namespace


def jobs_of(options: argparse.Namespace) -> Tuple[List[Job], Tuple[Left, ...]]:
    """The jobs in their order, and the files that are part of none. Raises InputError if there is none."""
    if options.output and not os.path.isdir(options.output):
        raise InputError(
            "the outputs of many models go to a folder, and this is none", where=options.output, remedy=_MAKE_FOLDER
        )
    if options.manifest:
        return [_job(options, model) for model in _listed(options)], ()
    found = _found(options.files)
    models = list(_named(found.pairs, options))
    if not models:
        raise InputError(f"no model found in {', '.join(options.files)}", remedy="give folders with nets and weights")
    jobs = [_job(options, model) for model in models]
    made = {os.path.realpath(target) for job in jobs for target in job.targets}
    # What an earlier run wrote into the folder is no model of this one.
    return [job for job in jobs if os.path.realpath(job.net) not in made], tuple(
        each for each in found.left if os.path.realpath(each.file) not in made
    )


def _found(files: Sequence[str]) -> Found:
    folders = [file for file in files if os.path.isdir(file)]
    others = [file for file in files if file not in folders]
    parts = [*([of_files(others)] if others else []), *(in_folder(folder) for folder in dict.fromkeys(folders))]
    return Found(
        tuple(pair for part in parts for pair in part.pairs), tuple(each for part in parts for each in part.left)
    )


def _named(pairs: Sequence[Pair], options: argparse.Namespace) -> Iterator[_Model]:
    """Each is called as when it is alone; a net with several weights, as these."""
    nets = [pair.net for pair in pairs]
    for pair in pairs:
        named_by = pair.net if nets.count(pair.net) == 1 else _without_ending(pair.weights)
        name = given.prefix(None, named_by, _MADE.get(options.command, ""))
        yield _Model(pair, os.path.join(pair.under, name), options)


_MADE = {"fuse": "fused", "check": "checked", "calibrate": "ranges"}


def _without_ending(weights: str) -> str:
    return weights[:-3] if weights.endswith(".h5") else weights


def _listed(options: argparse.Namespace) -> Iterator[_Model]:
    if options.files:
        raise InputError("--manifest names the models, and so does the command line", remedy="give one of them")
    shared = words_of(options, without=OF_MANY)
    for line in manifest.read(options.manifest, _WITH_PATHS):
        try:
            own = parsed([options.command, line.net, line.weights, *shared, "-o", _UNSET, *line.options])
            _require_single(own)
        except InputError as error:
            raise InputError(error.what, where=line.where, remedy=error.remedy) from error
        name = line.output or given.prefix(None, line.net, _MADE.get(options.command, ""))
        yield _Model(Pair(line.net, line.weights), name, own)


def _require_single(own: argparse.Namespace) -> None:
    """Raises InputError for options of a model that are those of all."""
    if own.many:
        raise InputError("a line is one model", remedy="give the two files of the net")
    own.output = None if own.output == _UNSET else own.output
    of_all = words_of(own, without=set(vars(own)) - OF_MANY)
    if of_all:
        raise InputError(f"{of_all[0]} is for all models", remedy="give it on the command line")


def _job(options: argparse.Namespace, model: _Model) -> Job:
    pair, folder = model.pair, options.output or ""
    output, page = os.path.join(folder, model.name), _page(options, model.name)
    own: Tuple[str, ...] = () if page is None else ("--html", page)
    targets: Tuple[str, ...] = () if page is None else (page,)
    if options.command == "calibrate":
        output = output if output.endswith(".json") else f"{output}.json"
        own, targets = ("-o", output), (output,)
    elif options.command == "fuse":
        own = ("-o", output, *own)
        targets = (*(() if model.options.dry_run else files_of(output)), *targets)
    return Job(
        options.command,
        pair.net,
        pair.weights,
        words_of(model.options, without=OF_MANY),
        own,
        given.also_read(model.options),
        targets,
    )


def _page(options: argparse.Namespace, name: str) -> Optional[str]:
    """The page of a model, called as its other files, in the folder that --html names."""
    folder: Optional[str] = options.html
    if folder is None:
        return None
    if not os.path.isdir(folder):
        raise InputError("with many models --html names a folder, and this is none", where=folder, remedy=_MAKE_FOLDER)
    return os.path.join(folder, f"{name}.html")
