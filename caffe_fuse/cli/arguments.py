"""The command line of `caffe-fuse`. It imports nothing that loads slowly, so that `--help` is fast."""

from __future__ import annotations

import argparse
from functools import lru_cache
from typing import Any, Callable, Collection, List, Mapping, NoReturn, Sequence, Tuple

from .. import __version__
from ..errors import InputError
from .models import settled

# The options that are about all models of a command, not about one of them.
OF_MANY = frozenset({"jobs", "manifest", "resume", "dask", "output", "report", "html", "quiet", "verbose"})


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message, remedy=f"see {self.prog} --help")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed options. Raises InputError for an invalid command line; its remedy is the help of the command."""
    given = _with_strict_value(arguments)
    if given and given[0] in _commands():
        # By itself argparse takes a positional argument after options, such as WEIGHTS, for an unknown one.
        options = _parser_of(given[0]).parse_intermixed_args(given[1:])
        options.words = given[1:]
        return settled(options)
    return _parsers(tuple(_commands()))[0].parse_args(given)


def words_of(options: argparse.Namespace, without: Collection[str]) -> Tuple[str, ...]:
    """The options that differ from their default as words, the same in whatever form they were typed."""
    given = vars(options)
    words: List[str] = []
    for action in _parser_of(options.command)._actions:
        value = given.get(action.dest)
        if not action.option_strings or action.dest not in given or action.dest in without or value == action.default:
            continue
        name = action.option_strings[-1]
        if action.nargs == 0:
            words += [name] if value == action.const else []
        elif action.dest == "strict":
            words += [f"{name}={value}"] if value != "bn" else []
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [f"{name}={each}"] if str(each).startswith("-") else [name, str(each)]
    return tuple(words)


def _commands() -> Mapping[str, Callable[[Any], None]]:
    """What adds the parser of each command."""
    return {
        "fuse": _add_fuse,
        "check": _add_check,
        "calibrate": _add_calibrate,
        "run": _add_run,
        "verify": _add_verify,
        "show": _add_show,
        "upgrade": _add_upgrade,
        "targets": _add_targets,
    }


def _parser_of(command: str) -> argparse.ArgumentParser:
    return _parsers((command,))[1][command]


@lru_cache(maxsize=None)
def _parsers(names: Tuple[str, ...]) -> Tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the program with these commands, and those of the commands by name: all of them take long."""
    parser = Parser(prog="caffe-fuse", description="Fold BatchNorm into the layers of a Caffe model.")
    parser.add_argument("--version", action="version", version=f"caffe-fuse {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name in names:
        _commands()[name](commands)
    return parser, commands.choices


def _command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary)
    command.set_defaults(command=name)
    return command


def _add_fuse(commands: Any) -> None:
    fuse = _command(commands, "fuse", "write a net without BatchNorm and check its half range")
    _add_models(fuse)
    fuse.add_argument("-o", "--output", metavar="PREFIX", help="write PREFIX.prototxt and PREFIX.caffemodel")
    fuse.add_argument("--report", metavar="F.json", help="write the report as JSON")
    fuse.add_argument("--html", metavar="F.html", help="write the report as HTML (needs the extra: report)")
    fuse.add_argument("--dry-run", action="store_true", help="do everything except write the model")
    fuse.add_argument("--force", action="store_true", help="write the model even if it is not safe")
    fuse.add_argument("--allow-bn", action="store_true", help="BatchNorm layers may remain; otherwise the status is 1")
    fuse.add_argument(
        "--use-global-stats",
        action="store_true",
        help="use the stored statistics of layers with batch statistics",
    )
    fuse.add_argument("--prune", action="store_true", help="leave out weights of layers that the net does not have")
    fuse.add_argument(
        "--strict",
        metavar="WHAT",
        default="",
        help="status 1 also for: refused (a layer was refused), flush (a value becomes zero or subnormal in half "
        "precision); several with commas, as --strict=refused,flush",
    )
    fuse.add_argument(
        "--weights-format", choices=("caffemodel", "hdf5"), help="the format of the new weights (that of the input)"
    )
    fuse.add_argument(
        "--blob-type",
        choices=("float32", "float16"),
        help="float16: store weights as fp16; float32: store nothing as fp16 (new weights are float32, others stay)",
    )
    fuse.add_argument("--keep", metavar="LAYER", action="append", default=[], help="leave this layer exactly as it is")
    _add_folds(fuse)
    fuse.add_argument(
        "--rescale",
        choices=("needed", "always", "never"),
        default="needed",
        help="move powers of two between layers: where half precision loses values (needed), always, or never",
    )
    fuse.add_argument(
        "--keep-blob",
        metavar="BLOB",
        action="append",
        default=[],
        help="rescaling does not change the values of this blob",
    )
    fuse.add_argument("--verify", action="store_true", help="run both nets; status 1 and no model if they differ")
    _add_min_snr(fuse)
    _add_inputs(fuse)
    _add_half_policy(fuse)
    _add_activations(fuse)
    _add_printing(fuse)


def _add_check(commands: Any) -> None:
    check = _command(commands, "check", "what half precision does to a model's weights")
    _add_models(check)
    check.add_argument("--report", metavar="F.json", help="write the report as JSON")
    check.add_argument("--html", metavar="F.html", help="write the report as HTML (needs the extra: report)")
    _add_half_policy(check)
    _add_activations(check)
    _add_printing(check)


def _add_calibrate(commands: Any) -> None:
    calibrate = _command(commands, "calibrate", "record the ranges of a model's activations on data")
    _add_models(calibrate)
    calibrate.add_argument(
        "--input",
        metavar="F",
        action="append",
        default=[],
        help="samples: .npy, .npz, HDF5, or a folder of images; needed; may be repeated",
    )
    calibrate.add_argument("-o", "--output", metavar="RANGES.json", help="the file to write; needed")
    calibrate.add_argument("--report", metavar="F.json", help="with many models: write what was done as JSON")
    _add_pixels(calibrate)
    _add_quiet(calibrate)


def _add_run(commands: Any) -> None:
    run = _command(commands, "run", "run a model, in float32 as Caffe, in float64, or in half precision")
    _add_model(run, weights_needed=True)
    _add_inputs(run)
    run.add_argument("--precision", choices=("float32", "float64", "half"), default="float32", help="(float32)")
    _add_half_policy(run)
    run.add_argument("--blobs", default="outputs", metavar="A,B", help="which blobs: names, all, or outputs (default)")
    run.add_argument("-o", "--output", metavar="OUT.npz", help="write each blob as an array")
    _add_quiet(run)


def _add_verify(commands: Any) -> None:
    verify = _command(commands, "verify", "whether two models are the same net: run both and compare them blob by blob")
    for place, whose in (("A", "the reference model"), ("B", "the model to compare with it")):
        verify.add_argument(f"net_{place.lower()}", metavar=f"NET_{place}", help=whose)
        verify.add_argument(f"weights_{place.lower()}", metavar=f"WEIGHTS_{place}", help="its weights")
    verify.add_argument("--report", metavar="F.json", help="write the report as JSON")
    verify.add_argument("--html", metavar="F.html", help="write the report as HTML (needs the extra: report)")
    verify.add_argument(
        "--precision",
        choices=("float32", "half"),
        default="half",
        help="half (default): also report the outputs of both in half precision",
    )
    _add_min_snr(verify)
    _add_half_policy(verify)
    verify.add_argument(
        "--rescaled", metavar="F.json", help="the report of the fuse that made B, if that rescaled or renamed blobs"
    )
    verify.add_argument(
        "--tolerance",
        type=float,
        metavar="R",
        help="how far the nets may differ, as a share of a blob's largest magnitude (default: by rounding noise)",
    )
    _add_state(verify)
    _add_inputs(verify)
    _add_quiet(verify)


def _add_min_snr(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--min-snr",
        type=float,
        metavar="DB",
        help="status 1 if an output in half precision has a smaller SNR, or a different top class",
    )


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", metavar="F", help="inputs: .npy, .npz, HDF5, or a folder of images (default: seeded)"
    )
    parser.add_argument("--image", metavar="F", action="append", default=[], help="an image as input; may be repeated")
    _add_pixels(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the inputs if none are given (0)")


def _add_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mean", metavar="B,G,R", default="0", help="subtracted from images: one value, or one per channel"
    )
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="then multiplies images")
    order = parser.add_mutually_exclusive_group()
    order.add_argument(
        "--bgr", action="store_false", dest="rgb", default=False, help="the channels of images are B, G, R (default)"
    )
    order.add_argument(
        "--rgb", action="store_true", default=False, help="the channels of images, and means, are R, G, B"
    )


def _add_folds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folds",
        choices=("direct", "all"),
        default="all",
        help="direct: only into the layer before; all: also through layers such as Concat, and into the layer after",
    )
    parser.add_argument(
        "--simplify",
        action="store_true",
        help="remove layers that change nothing (Dropout, Split, Scale of ones ...) or that only a Silence reads",
    )


def _add_show(commands: Any) -> None:
    show = _command(
        commands, "show", "the layers and blobs of a net, which layers would fold, and why others would not"
    )
    _add_model(show, weights_needed=False)
    _add_folds(show)
    show.add_argument("--target", metavar="NAME", help="also list what this tool does not take: see caffe-fuse targets")


def _add_upgrade(commands: Any) -> None:
    upgrade = _command(commands, "upgrade", "write a model of an old form (V0, V1) in the current one")
    upgrade.add_argument("net", metavar="NET", help="the prototxt")
    upgrade.add_argument("weights", metavar="WEIGHTS", nargs="?", help="the caffemodel")
    upgrade.add_argument("-o", "--output", metavar="PREFIX", help="write PREFIX.prototxt and PREFIX.caffemodel")
    _add_quiet(upgrade)


def _add_targets(commands: Any) -> None:
    targets = _command(commands, "targets", "the tools that --target knows, and what each demands")
    targets.add_argument("name", metavar="NAME", nargs="?", help="one of them, or an alias")


def _add_models(parser: argparse.ArgumentParser) -> None:
    """Adds the files of one model, or of many, and the options about many."""
    parser.set_defaults(output=None, html=None, verbose=False)  # not all commands have them
    parser.usage = "%(prog)s [options] NET WEIGHTS | NET WEIGHTS NET WEIGHTS ... | FOLDER ... | --manifest F"
    parser.add_argument(
        "files",
        metavar="NET WEIGHTS",
        nargs="*",
        help="the prototxt and the caffemodel; several pairs, or folders in which they are found",
    )
    _add_state(parser)
    many = parser.add_argument_group("many models", "-o, --html: a folder; --report: one report of all")
    many.add_argument("--manifest", metavar="F", help="a list of models: a table with tabs, or JSON lines")
    many.add_argument("-j", "--jobs", metavar="N", type=int, default=1, help="how many processes at a time (1)")
    many.add_argument(
        "--resume", action="store_true", help="leave out what an earlier run with the same --report has done"
    )
    many.add_argument(
        "--dask", metavar="ADDRESS", help="let the workers of this scheduler do it (needs the extra: dask)"
    )


def _add_model(parser: argparse.ArgumentParser, weights_needed: bool) -> None:
    parser.add_argument("net", metavar="NET", help="the prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", nargs=None if weights_needed else "?", help="the caffemodel")
    _add_state(parser)


def _add_state(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how a net is read."""
    parser.add_argument("--phase", choices=("TEST", "TRAIN"), default="TEST", help="which layers take part (TEST)")
    parser.add_argument("--level", type=int, default=0, metavar="N", help="the level in the layers' rules (0)")
    parser.add_argument("--stage", action="append", default=[], metavar="S", help="a stage in the layers' rules")
    parser.add_argument("--bn-dialect", metavar="NAME", help="whose BatchNorm it is, if the files do not determine it")
    parser.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="BLOB=1,3,224,224",
        help="the shape of an input, if the net does not say it",
    )


def _add_half_policy(parser: argparse.ArgumentParser) -> None:
    device = parser.add_mutually_exclusive_group()
    device.add_argument(
        "--half-policy",
        metavar="NAME",
        help="how the device rounds to half precision: ieee (default), flush, truncate, saturate, a target, or off",
    )
    device.add_argument("--target", metavar="NAME", help="the tool that takes the result: see caffe-fuse targets")


def _add_activations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sigmas", type=float, default=6.0, metavar="K", help="predict activations K deviations from their mean (6)"
    )
    parser.add_argument(
        "--ranges",
        metavar="RANGES.json",
        action="append",
        default=[],
        help="ranges that calibrate recorded, instead of predictions; may be repeated",
    )
    parser.add_argument(
        "--half-sums", action="store_true", help="bound the sums of devices that accumulate in half precision"
    )


def _add_printing(parser: argparse.ArgumentParser) -> None:
    _add_quiet(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print every layer")


def _add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors and warnings")


def _with_strict_value(arguments: Sequence[str]) -> List[str]:
    """The arguments with `--strict` alone as `--strict=bn`: argparse would take the next word for its value."""
    return ["--strict=bn" if argument == "--strict" else argument for argument in arguments]
