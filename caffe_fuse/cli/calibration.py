"""The command `calibrate`: the batches are run here, or in shards by several processes or machines."""

from __future__ import annotations

import argparse
from typing import Any, Callable, Iterator, List, Sequence, Tuple, Union

from .. import progress
from ..errors import SystemFailure
from ..many.outcome import Outcome, Summary
from ..wording import counted
from . import options as given
from .failures import Failed, failed
from .writing import check_outputs, write_reports

_SHARDS = 4  # for each worker: the last ones then end at nearly the same time


def run_calibrate(options: argparse.Namespace) -> Outcome:
    from ..ranges.calibrate import in_order

    check_outputs(options, options.output)
    model = given.loaded(options)
    batches = _batches(options, model)
    parts = _by_workers(options, len(batches)) if options.jobs > 1 or options.dask else _recorded(model, batches)
    found = in_order(progress.steps(parts, len(batches), "batch"))
    write_reports({options.output: found.to_json}, (*model.paths, *given.also_read(options)))
    blobs, samples = len(found.values), found.samples
    summary = f"recorded   {counted(blobs, 'blob')}, {counted(samples, 'sample')}"
    return Outcome(
        0,
        () if options.quiet else (summary, f"wrote      {options.output}"),
        model.warnings,
        summary=Summary("recorded", {"blobs": blobs, "samples": samples}),
        written=(options.output,),
    )


def _batches(options: argparse.Namespace, model: Any) -> List[Callable[[], Any]]:
    """Functions that each read one batch, of the batch size of the net."""
    from ..execution.run import input_shapes
    from .samples import open_samples

    shapes, pixels = input_shapes(model.net), given.pixels(options)
    sets = [open_samples(path, shapes, pixels) for path in options.input]
    size = next((shape[0] for shape in shapes.values() if shape and shape[0]), 1)
    return [batch for samples in sets for batch in samples.batches(size)]


def _recorded(model: Any, batches: Sequence[Callable[[], Any]]) -> Iterator[Any]:
    from ..ranges.calibrate import recorded

    return recorded(model, (read() for read in batches))


def _by_workers(options: argparse.Namespace, batches: int) -> Iterator[Any]:
    """The ranges of each batch, in their order. Raises Failed for the first that failed, SystemFailure for one lost."""
    from ..many.engines import Lost, in_turn
    from .jobs import engine

    workers = engine(options)
    size = -(-batches // (_SHARDS * workers.width)) or 1
    tasks = [(tuple(options.words), first, first + size) for first in range(0, batches, size)]
    for _, found in in_turn(workers.results(shard, tasks)):
        if isinstance(found, Lost):
            raise SystemFailure(f"batches were not run: {found.reason}", remedy="try again with fewer processes")
        if isinstance(found, Outcome):
            raise Failed(found)
        yield from found


def shard(words: Sequence[str], first: int, end: int) -> Union[Tuple[Any, ...], Outcome]:
    """The ranges of each of some batches, or how that failed; another process calls this."""
    from .arguments import parsed

    try:
        options = parsed(("calibrate", *words))
        model = given.loaded(options)
        return tuple(_recorded(model, _batches(options, model)[first:end]))
    except Exception as error:
        return failed(error)
