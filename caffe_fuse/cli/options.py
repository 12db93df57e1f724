"""Turns the options of a command into values: the model, its inputs, assumptions about it, and where to write."""

from __future__ import annotations

import argparse
import math
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..errors import InputError
from ..wording import Typed, called_after

STDIN = STDOUT = "-"  # in the place of a path


def loaded(options: argparse.Namespace) -> Any:
    return loaded_from(options.net, options.weights, options)


def model_files(options: argparse.Namespace) -> Tuple[str, Optional[str]]:
    """The two files of a model, as paths; None for weights that are not given."""
    return _file(options.net), None if options.weights is None else _file(options.weights)


def loaded_for_target(options: argparse.Namespace) -> Tuple[Any, Sequence[str]]:
    """The model, upgraded first, in memory, where the target reads only today's form; and what the upgrade did."""
    model = loaded(options)
    if not options.target:
        return model, ()
    from ..targets import find
    from ..targets.demand import UPGRADING

    if not any(demand.find(model) for demand in find(options.target).demands if demand.by == UPGRADING):
        return model, ()
    from ..net.load import model_of
    from ..upgrading.upgrade import upgraded_files

    document, weights, done = upgraded_files(model.document, model.weights)
    return model_of(document, weights, **_reading(options)), done


def loaded_from(net: str, weights: Optional[str], options: argparse.Namespace) -> Any:
    """The model of two files, loaded with the options."""
    from ..net.load import load

    return load(_file(net), None if weights is None else _file(weights), **_reading(options))


def _file(typed: str) -> str:
    return "/dev/stdin" if typed == STDIN else typed


def _reading(options: argparse.Namespace) -> Dict[str, Any]:
    return {
        "phase": options.phase,
        "level": options.level,
        "stages": options.stage,
        "input_shapes": input_shapes(options.input_shape),
        "bn_dialect": options.bn_dialect,
    }


def half_policy(options: argparse.Namespace) -> Any:
    """The half policy that is given, or that of the target."""
    from ..folding.device import device

    return device(options.half_policy, options.target).policy


def typed(options: argparse.Namespace, files: Sequence[str]) -> Typed:
    """The words that the next command repeats: of `fuse` all options, of `check` those but its reports, which the next
    one would write over, and of other commands those about the net.
    """
    about_net = [] if options.phase == "TEST" else ["--phase", options.phase]
    about_net += ["--level", str(options.level)] if options.level else []
    about_net += [word for stage in options.stage for word in ("--stage", stage)]
    about_net += [word for shape in options.input_shape for word in ("--input-shape", shape)]
    about_net += ["--bn-dialect", options.bn_dialect] if options.bn_dialect else []
    return Typed(tuple(files), tuple(about_net), tuple(_repeated(options)))


def _repeated(options: argparse.Namespace) -> List[str]:
    if options.command == "check":
        from .arguments import words_of

        return _with_known_target(words_of(options, {"report", "html"}), options.target)
    words = list(options.words) if options.command == "fuse" else []
    words = [word for word in words if word != "--strict=bn"]  # always on, and --allow-bn contradicts it
    words = _with_known_target(words, getattr(options, "target", None))
    for file in (options.net, options.weights) if words else ():
        words.remove(file)
    return words


def _with_known_target(words: Sequence[str], target: Optional[str]) -> List[str]:
    """The words with the target's own name in place of an alias: a remedy that names it finds it there."""
    if target is None:
        return list(words)
    from ..targets import find

    split = [part for word in words for part in (word.split("=", 1) if word.startswith("--target=") else [word])]
    is_value = [False, *(word == "--target" for word in split)]
    return [find(target).name if value else word for word, value in zip(split, is_value)]


def input_shapes(given: Sequence[str]) -> Dict[str, Tuple[int, ...]]:
    shapes: Dict[str, Tuple[int, ...]] = {}
    for text in given:
        name, _, dims = text.rpartition("=")
        try:
            shape = tuple(int(dim) for dim in dims.split(","))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise InputError(f"--input-shape {text} is not BLOB=N,N,...", remedy="give, for example, data=1,3,224,224")
        shapes[name] = shape
    return shapes


def assumptions(options: argparse.Namespace) -> Dict[str, Any]:
    """The options that expectations of activations are based on."""
    ranges = None
    for path in options.ranges:
        from ..ranges.calibrate import read_ranges

        found = read_ranges(path)
        ranges = found if ranges is None else ranges.merged(found)
    return {"sigmas": options.sigmas, "ranges": ranges, "half_sums": options.half_sums}


def pixels(options: argparse.Namespace) -> Any:
    """How images become arrays."""
    from .images import Pixels

    if options.scale == 0 or not math.isfinite(options.scale):
        raise InputError(f"--scale {options.scale:g} is not a valid factor", remedy="give, for example, 0.017")
    return Pixels(_mean(options.mean), options.scale, options.rgb)


def inputs(options: argparse.Namespace, model: Any) -> Tuple[Any, Tuple[str, ...]]:
    """The inputs named by the options, None for seeded ones; and the names of the classes as far as they are known."""
    from ..execution.run import input_shapes as shapes_of
    from .samples import all_of

    how = pixels(options)
    return all_of(options.input, shapes_of(model.net), how) if options.input else (None, ())


def also_read(options: argparse.Namespace) -> Tuple[str, ...]:
    """The files that a command reads in addition to its models: no output may be one of them."""
    given = vars(options)
    found = [*given.get("input", ()), *given.get("ranges", ()), given.get("rescaled"), given.get("mean")]
    return tuple(path for path in found if path and os.path.exists(path))


def _mean(given: str) -> Any:
    """The mean as numbers, or as an image from a file."""
    from .images import MEAN_REMEDY, mean_image

    if os.path.isfile(given):
        return mean_image(given)
    try:
        found = tuple(float(number) for number in given.split(","))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise InputError(f"--mean {given} is not a list of numbers, nor a file", remedy=MEAN_REMEDY)
    return found


def changed_blobs(path: Optional[str]) -> Dict[str, Any]:
    """What `verify` must know of the blobs of the second net, from a JSON report of `fuse`: exponents, and names."""
    if path is None:
        return {}
    import json

    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        powers = {each["blob"]: [int(power) for power in each["channel_exponents"]] for each in report["rescaled"]}
        renamed = (report.get("target") or {}).get("renamed_blobs", {})
        return {"rescaled": powers, "renamed": {str(old): str(new) for old, new in renamed.items()}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is not a JSON report of fuse: {error!r}", where=path, remedy="give the file that fuse --report wrote"
        ) from error


def prefix(output: Optional[str], net: str, made: str = "fused") -> str:
    """The output prefix: PREFIX, or the default name in the given folder, or in the current one."""
    default = f"{called_after(net)}_{made}"
    if output is None:
        return default
    return os.path.join(output, default) if output.endswith("/") or os.path.isdir(output) else output
