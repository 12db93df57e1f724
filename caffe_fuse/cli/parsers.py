"""The parsers of `caffe-fuse` and of its commands. Nothing here loads slowly, so that `--help` is fast."""

from __future__ import annotations

import argparse
from functools import lru_cache
from typing import Callable, Mapping, NamedTuple, Sequence, Tuple

from . import families
from .parser import DIALECT_NAMES, POLICY_NAMES, TARGET_NAMES, Parser, any_case, exit_status_section, section

WEIGHTS_FORMATS = ("caffemodel", "hdf5")
BLOB_TYPES = ("float32", "float16")
RESCALE = ("needed", "always", "never")
RUN_PRECISIONS = ("float32", "float64", "half")
VERIFY_PRECISIONS = ("float32", "half")
_DEVICE = (POLICY_NAMES, TARGET_NAMES, DIALECT_NAMES)


_ABOUT = "Fold BatchNorm into the layers of a Caffe model, so that it runs in half precision."


class Command(NamedTuple):
    """A command: its summary, what adds its options, examples (words, what they do), and the names its help lists."""

    summary: str
    add: Callable[[Parser], None]
    examples: Sequence[Tuple[str, str]]
    lists: Sequence[str] = ()


@lru_cache(maxsize=None)
def parser_of(name: str) -> Parser:
    """The parser of a command of COMMANDS."""
    command = COMMANDS[name]
    summary = command.summary[0].upper() + command.summary[1:]
    parser = Parser(name, f"{summary}.", command.examples, command.lists)
    command.add(parser)
    return parser


def program_parser() -> argparse.ArgumentParser:
    """The parser of a command line without a command."""
    width = max(map(len, COMMANDS))
    commands = section("commands", [f"{name:<{width}}  {command.summary}" for name, command in COMMANDS.items()])
    examples = section("examples", [f"caffe-fuse {name} {COMMANDS[name].examples[0][0]}" for name in _FIRST])
    parser = argparse.ArgumentParser(
        prog="caffe-fuse",
        usage="caffe-fuse COMMAND ...",
        description=f"{_ABOUT}\n\n{commands}",
        epilog="\n\n".join([examples, exit_status_section(), "caffe-fuse COMMAND --help says more of a command."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command="help")
    parser.add_argument(
        "-V", "--version", action="store_const", const="version", dest="command", help="print the version"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="with --version: also of what it uses, and the extras"
    )
    return parser


def _fuse(parser: Parser) -> None:
    families.files_of_many(parser)
    output = parser.add_argument_group("what is written")
    families.model(output, "NET_fused")
    families.report(output)
    output.add_argument("--dry-run", action="store_true", help="do everything except write the model")
    output.add_argument("--force", action="store_true", help="write the model even if it is not safe")
    families.no_clobber(output)
    output.add_argument(
        "--weights-format",
        choices=WEIGHTS_FORMATS,
        type=any_case(WEIGHTS_FORMATS),
        help="the format of the new weights (that of the input)",
    )
    output.add_argument(
        "--blob-type",
        choices=BLOB_TYPES,
        type=any_case(BLOB_TYPES),
        help="float16: store weights as fp16; float32: store nothing as fp16 (new weights are float32, others stay)",
    )
    output.add_argument("--prune", action="store_true", help="leave out weights of layers that the net does not have")
    _fold_group(parser)
    half = families.device(parser)
    half.add_argument(
        "--rescale",
        choices=RESCALE,
        type=any_case(RESCALE),
        default="needed",
        help="move powers of two between layers: where half precision loses values (needed), always, or never",
    )
    half.add_argument(
        "--keep-blob",
        metavar="BLOB",
        action="append",
        default=[],
        help="rescaling does not change the values of this blob; may be repeated",
    )
    families.activations(half)
    verification = parser.add_argument_group("verification")
    verification.add_argument(
        "--verify", action="store_true", help="run both nets; status 1 and no model if they differ"
    )
    families.min_snr(verification)
    families.inputs(parser)
    families.net(parser)
    families.many(parser)
    _printing(parser)


def _fold_group(parser: Parser) -> None:
    fold = parser.add_argument_group("what folds")
    families.folds(fold)
    fold.add_argument(
        "--keep",
        metavar="LAYER",
        action="append",
        default=[],
        help="leave this layer exactly as it is; may be repeated",
    )
    fold.add_argument("--allow-bn", action="store_true", help="BatchNorm layers may remain; otherwise the status is 1")
    fold.add_argument(
        "--use-global-stats",
        action="store_true",
        help="use the stored statistics of layers with batch statistics",
    )
    fold.add_argument(
        "--strict",
        metavar="WHAT",
        default="",
        help="status 1 also for: refused (a layer was refused), flush (a value becomes zero or subnormal in half "
        "precision); several with commas, as --strict=refused,flush",
    )


def _check(parser: Parser) -> None:
    families.files_of_many(parser)
    output = parser.add_argument_group("what is written")
    families.report(output)
    families.no_clobber(output)
    families.activations(families.device(parser))
    families.net(parser)
    families.many(parser)
    _printing(parser)


def _calibrate(parser: Parser) -> None:
    families.files_of_many(parser)
    output = parser.add_argument_group("what is written")
    output.add_argument("-o", "--output", metavar="RANGES.json", help="the file to write; needed")
    output.add_argument("--report", metavar="F.json", help="with many models: write what was done as JSON")
    families.no_clobber(output)
    families.samples(parser, "samples", "needed")
    families.net(parser)
    families.many(parser)
    families.quiet(parser.add_argument_group("what is printed"))


def _run(parser: Parser) -> None:
    families.files_of_one(parser, weights_needed=True)
    output = parser.add_argument_group("what is computed and written")
    output.add_argument(
        "--precision",
        choices=RUN_PRECISIONS,
        type=any_case(RUN_PRECISIONS),
        default="float32",
        help="the type to compute in (float32)",
    )
    output.add_argument(
        "--blobs", default="outputs", metavar="A,B", help="which blobs: names, all, or outputs (default)"
    )
    output.add_argument("-o", "--output", metavar="OUT.npz", help="write each blob as an array")
    families.no_clobber(output)
    families.inputs(parser)
    families.device(parser)
    families.net(parser)
    families.quiet(parser.add_argument_group("what is printed"))


def _verify(parser: Parser) -> None:
    for place, whose in (("A", "the reference model"), ("B", "the model to compare with it")):
        parser.add_argument(f"net_{place.lower()}", metavar=f"NET_{place}", help=whose)
        parser.add_argument(f"weights_{place.lower()}", metavar=f"WEIGHTS_{place}", help="its weights")
    comparison = parser.add_argument_group("how the nets are compared")
    comparison.add_argument(
        "--precision",
        choices=VERIFY_PRECISIONS,
        type=any_case(VERIFY_PRECISIONS),
        default="half",
        help="half (default): also report the outputs of both in half precision",
    )
    families.min_snr(comparison)
    comparison.add_argument(
        "--rescaled", metavar="F.json", help="the report of the fuse that made B, if that rescaled or renamed blobs"
    )
    comparison.add_argument(
        "--tolerance",
        type=float,
        metavar="R",
        help="how far the nets may differ, as a share of a blob's largest magnitude (default: by rounding noise)",
    )
    output = parser.add_argument_group("what is written")
    families.report(output)
    families.no_clobber(output)
    families.inputs(parser)
    families.device(parser)
    families.net(parser)
    families.quiet(parser.add_argument_group("what is printed"))


def _show(parser: Parser) -> None:
    families.files_of_one(parser, weights_needed=False)
    fold = parser.add_argument_group("what folds")
    families.folds(fold)
    fold.add_argument("--target", metavar="NAME", help="also list what this tool does not take; names below")
    families.net(parser)
    printing = parser.add_argument_group("what is printed")
    printing.add_argument(
        "-v", "--verbose", action="store_true", help="print every layer on a terminal too, with its bottoms and tops"
    )


def _upgrade(parser: Parser) -> None:
    families.files_of_one(parser, weights_needed=False)
    output = parser.add_argument_group("what is written")
    families.model(output, "NET_upgraded")
    families.no_clobber(output)
    families.quiet(parser.add_argument_group("what is printed"))


def _targets(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="one of them, or an alias, in any case")


def _printing(parser: Parser) -> None:
    group = parser.add_argument_group("what is printed")
    families.quiet(group)
    group.add_argument("-v", "--verbose", action="store_true", help="print every layer")


_PAIR = "net.prototxt net.caffemodel"
_FUSED = "small.prototxt small.caffemodel"
_FIRST = ("show", "fuse", "verify")
COMMANDS: Mapping[str, Command] = {
    "fuse": Command(
        "write a net without BatchNorm and check its half range",
        _fuse,
        (
            (f"{_PAIR} -o small", "writes small.prototxt and small.caffemodel"),
            (f"{_PAIR} --verify --image cat.jpg --mean 104,117,123", "also runs both nets on a picture"),
            (f"{_PAIR} --target tensorrt --html report.html", "for a tool of a vendor, with a page to read"),
            ("models/ -o fused/ -j 4 --report report.json", "all models in a folder, four at a time"),
        ),
        _DEVICE,
    ),
    "check": Command(
        "what half precision does to a model's weights",
        _check,
        (
            (_PAIR, "says which values half precision loses"),
            (f"{_PAIR} -q --report - | jq .verdict", "the verdict alone"),
        ),
        _DEVICE,
    ),
    "calibrate": Command(
        "record the ranges of a model's activations on data",
        _calibrate,
        (
            (f"{_PAIR} --input pictures/ --mean 104,117,123 -o ranges.json", "fuse and check read it with --ranges"),
            (f"{_PAIR} --input samples.npz -o ranges.json -j 4", "in four processes"),
        ),
        (DIALECT_NAMES,),
    ),
    "run": Command(
        "run a model, in float32 as Caffe, in float64, or in half precision",
        _run,
        (
            (f"{_PAIR} --image cat.jpg --mean 104,117,123", "prints the outputs and the top classes"),
            (f"{_PAIR} --precision half --blobs all -o blobs.npz", "every blob, as an fp16 device computes it"),
        ),
        _DEVICE,
    ),
    "verify": Command(
        "whether two models compute the same: run both, compare blob by blob",
        _verify,
        ((f"{_PAIR} {_FUSED}", "a model and what fuse made of it"),),
        _DEVICE,
    ),
    "show": Command(
        "the layers of a net, which would fold, and why others would not",
        _show,
        (("net.prototxt", "the plan from the text alone"), (f"{_PAIR} --target mnn", "and what a tool does not take")),
        (TARGET_NAMES, DIALECT_NAMES),
    ),
    "upgrade": Command(
        "write a model of an old form (V0, V1) in the current one",
        _upgrade,
        (("old.prototxt old.caffemodel -o new", "writes new.prototxt and new.caffemodel"),),
    ),
    "targets": Command(
        "the tools that --target knows, and what each demands",
        _targets,
        (("", "all of them"), ("tensorrt", "what one of them demands")),
    ),
}
