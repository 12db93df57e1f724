"""What the options of a command stand for: the model, its inputs, what is known of it, and where to write."""

from __future__ import annotations

import argparse
import os
from typing import Any, Dict, Optional, Sequence, Tuple

from .errors import InputError

# A net of one of these names says nothing about the model; its folder does.
ANONYMOUS = frozenset({"deploy", "test", "train_val", "model"})


def loaded(options: argparse.Namespace) -> Any:
    from .loader import load

    return load(
        options.net,
        options.weights,
        phase=options.phase,
        level=options.level,
        stages=options.stage,
        input_shapes=input_shapes(options.input_shape),
        bn_dialect=options.bn_dialect,
    )


def input_shapes(given: Sequence[str]) -> Dict[str, Tuple[int, ...]]:
    shapes: Dict[str, Tuple[int, ...]] = {}
    for text in given:
        name, _, dims = text.rpartition("=")
        try:
            shape = tuple(int(dim) for dim in dims.split(","))
        except ValueError:
            shape = ()
        if not name or not shape or min(shape) < 1:
            raise InputError(f"--input-shape {text} is not BLOB=N,N,...", remedy="for example data=1,3,224,224")
        shapes[name] = shape
    return shapes


def assumptions(options: argparse.Namespace) -> Dict[str, Any]:
    """The options that expectations of activations rest on."""
    ranges = None
    for path in options.ranges:
        from .calibration import read_ranges

        found = read_ranges(path)
        ranges = found if ranges is None else ranges.merged(found)
    return {"sigmas": options.sigmas, "ranges": ranges, "half_sums": options.half_sums}


def inputs(options: argparse.Namespace, model: Any) -> Any:
    """The inputs that the options name; None for seeded ones."""
    from .running import input_shapes as shapes_of
    from .samples import Pixels, images, open_samples

    pixels = Pixels(numbers("--mean", options.mean), options.scale, options.rgb)
    shapes = shapes_of(model.net)
    if options.image:
        samples = images(options.image, shapes, pixels)
    elif options.input:
        samples = open_samples(options.input, shapes, pixels)
    else:
        return None
    return samples.read(0, samples.total)


def numbers(option: str, given: str) -> Tuple[float, ...]:
    try:
        return tuple(float(number) for number in given.split(","))
    except ValueError:
        raise InputError(f"{option} {given} is not a row of numbers", remedy="for example 104,117,123") from None


def rescaled(path: Optional[str]) -> Dict[str, Sequence[int]]:
    """The exponents in a JSON report of `fuse`."""
    if path is None:
        return {}
    import json

    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)["rescaled"]
        return {entry["blob"]: [int(each) for each in entry["channel_exponents"]] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is no JSON report of fuse: {error!r}", where=path, remedy="give the file that fuse --report wrote"
        ) from error


def prefix(output: Optional[str], net: str, made: str = "fused") -> str:
    """Where to write: PREFIX, or the default name in the folder that was given, or in the current one."""
    stem = os.path.splitext(os.path.basename(net))[0]
    if stem in ANONYMOUS:
        stem = os.path.basename(os.path.dirname(os.path.abspath(net))) or stem
    default = f"{stem}_{made}"
    if output is None:
        return default
    return os.path.join(output, default) if output.endswith("/") or os.path.isdir(output) else output
