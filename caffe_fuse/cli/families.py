"""The options that several commands have, by family; a family is a group of the help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .parser import any_case

if TYPE_CHECKING:
    from argparse import _ArgumentGroup as Group

    from .parser import Parser

PHASES = ("TEST", "TRAIN")
FOLDS = ("direct", "all")


def files_of_one(parser: Parser, weights_needed: bool) -> None:
    parser.add_argument("net", metavar="NET", help="the prototxt; - for stdin")
    count = None if weights_needed else "?"
    parser.add_argument("weights", metavar="WEIGHTS", nargs=count, help="the caffemodel; - for stdin")


def files_of_many(parser: Parser) -> None:
    """Adds the files of one model, or of many."""
    parser.set_defaults(output=None, html=None, verbose=False)  # not all commands have them
    parser.usage = "%(prog)s [options] NET WEIGHTS | NET WEIGHTS NET WEIGHTS ... | FOLDER ... | --manifest F"
    parser.add_argument(
        "files",
        metavar="NET WEIGHTS",
        nargs="*",
        help="the prototxt and the caffemodel, of which one may be - for stdin; several pairs, or folders with models",
    )


def model(group: Group, default: str) -> None:
    group.add_argument(
        "-o",
        "--output",
        metavar="PREFIX",
        help=f"write PREFIX.prototxt and PREFIX.caffemodel; DIR/ is a folder, made if need be (default: {default})",
    )


def many(parser: Parser) -> None:
    group = parser.add_argument_group("many models", "-o, --html: a folder; --report: one report of all")
    group.add_argument("--manifest", metavar="F", help="a list of models: a table with tabs, or JSON lines")
    group.add_argument("-j", "--jobs", metavar="N", type=int, default=1, help="how many processes at a time (1)")
    group.add_argument(
        "--resume", action="store_true", help="leave out what an earlier run with the same --report has done"
    )
    group.add_argument(
        "--dask", metavar="ADDRESS", help="let the workers of this scheduler do it (needs the extra: dask)"
    )


def net(parser: Parser) -> None:
    """Adds the options that say how a net is read."""
    group = parser.add_argument_group("how the net is read")
    group.add_argument(
        "--phase", choices=PHASES, type=any_case(PHASES), default="TEST", help="which layers take part (TEST)"
    )
    group.add_argument("--level", type=int, default=0, metavar="N", help="the level in the layers' rules (0)")
    group.add_argument("--stage", action="append", default=[], metavar="S", help="a stage in the layers' rules")
    group.add_argument(
        "--bn-dialect", metavar="NAME", type=str.lower, help="whose BatchNorm it is, if the files do not determine it"
    )
    group.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="BLOB=1,3,224,224",
        help="the shape of an input, if the net does not say it; may be repeated",
    )


def folds(group: Group) -> None:
    group.add_argument(
        "--folds",
        choices=FOLDS,
        type=any_case(FOLDS),
        default="all",
        help="direct: only into the layer before; all: also through layers such as Concat, and into the layer after",
    )
    group.add_argument(
        "--simplify",
        action="store_true",
        help="remove layers that change nothing (Dropout, Split, Scale of ones ...) or that only a Silence reads",
    )


def device(parser: Parser) -> Group:
    """Adds the options that say what half precision is; the group takes more."""
    group = parser.add_argument_group("half precision")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--half-policy",
        metavar="NAME",
        help="how the device rounds to half precision: ieee is the default, off gives no verdict; names below",
    )
    either.add_argument("--target", metavar="NAME", help="the tool that takes the result; names below")
    return group


def activations(group: Group) -> None:
    group.add_argument(
        "--sigmas", type=float, default=6.0, metavar="K", help="predict activations K deviations from their mean (6)"
    )
    group.add_argument(
        "--ranges",
        metavar="RANGES.json",
        action="append",
        default=[],
        help="ranges that calibrate recorded, instead of predictions; may be repeated",
    )
    group.add_argument(
        "--half-sums", action="store_true", help="bound the sums of devices that accumulate in half precision"
    )


def min_snr(group: Group) -> None:
    group.add_argument(
        "--min-snr",
        type=float,
        metavar="DB",
        help="status 1 if an output in half precision has a smaller SNR, or a different top class",
    )


def inputs(parser: Parser) -> None:
    """Adds the options for inputs, and for those that are drawn if none are given."""
    group = samples(parser, "what the net is run on", "default: numbers of a seed")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the inputs if none are given (0)")


def samples(parser: Parser, title: str, given: str) -> Group:
    """Adds the options for inputs. given: whether they must be."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--image",
        "--input",
        metavar="F",
        action="append",
        default=[],
        dest="input",
        help=f"an image, a folder of images, .npy, .npz or HDF5; may be repeated ({given})",
    )
    group.add_argument(
        "--mean",
        metavar="B,G,R",
        default="0",
        help="subtracted from images: one value, one per channel, or a mean.binaryproto",
    )
    group.add_argument("--scale", type=float, default=1.0, metavar="S", help="then multiplies images (1)")
    order = group.add_mutually_exclusive_group()
    order.add_argument(
        "--bgr", action="store_false", dest="rgb", default=False, help="the channels of images are B, G, R (default)"
    )
    order.add_argument(
        "--rgb", action="store_true", default=False, help="the channels of images, and means, are R, G, B"
    )
    return group


def report(group: Group) -> None:
    group.add_argument("--report", metavar="F.json", help="write the report as JSON; - for stdout")
    group.add_argument("--html", metavar="F.html", help="write the report as HTML (needs the extra: report)")


def no_clobber(group: argparse._ActionsContainer) -> None:
    group.add_argument("--no-clobber", action="store_true", help="an output that exists already is an error")


def quiet(group: Group) -> None:
    group.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors and warnings")
