"""The command `caffe-fuse`: arguments, exit status, printing. The work is done by the library."""

from __future__ import annotations

import argparse
import gc
import io
import os
import signal
import sys
from typing import Any, Callable, Dict, Iterable, List, NoReturn, Optional, Sequence, Tuple

from . import __version__
from .errors import CaffeFuseError, InputError, UnsafeResult

INTERRUPTED = 130
# A net of one of these names says nothing about the model; its folder does.
ANONYMOUS = frozenset({"deploy", "test", "train_val", "model"})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message, remedy=f"see {self.prog} --help")


def console() -> NoReturn:
    """The process `caffe-fuse`. It ends without tearing the interpreter down: that takes as long as reading a net."""
    gc.disable()  # for so short a process, looking for garbage costs more than it frees
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # whoever read it is gone
    os._exit(status)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command. Returns the exit status: 0 done, 1 not safe, 2 unusable input, 3 failure, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the terminal may not have the letters of a layer's name
    try:
        options = _parser().parse_args(_with_strict_value(sys.argv[1:] if arguments is None else arguments))
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except CaffeFuseError as error:
        _complain(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except OSError as error:
        _complain(f"the system refused: {error}")
        return 3
    except Exception:
        _complain(f"internal error; please report {_saved_traceback()}")
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="caffe-fuse", description="Fold BatchNorm into the layers of a Caffe model.")
    parser.add_argument("--version", action="version", version=f"caffe-fuse {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    fuse = commands.add_parser("fuse", help="write a net without BatchNorm and check its half range")
    _add_model(fuse, weights_needed=True)
    fuse.add_argument("-o", "--output", metavar="PREFIX", help="write PREFIX.prototxt and PREFIX.caffemodel")
    fuse.add_argument("--report", metavar="F.json", help="write what was done, as JSON")
    fuse.add_argument("--html", metavar="F.html", help="write what was done as a page (needs the extra: report)")
    fuse.add_argument("--dry-run", action="store_true", help="do everything but write the model")
    fuse.add_argument("--force", action="store_true", help="write the model even if it is not safe")
    fuse.add_argument("--prune", action="store_true", help="leave out weights of layers that the net does not have")
    fuse.add_argument(
        "--strict",
        metavar="WHAT",
        default="",
        help="status 1 if this happens: bn (a BatchNorm remains; the default), refused, flush; several with commas",
    )
    fuse.add_argument(
        "--weights-format", choices=("caffemodel", "hdf5"), help="how to write the weights (as they came)"
    )
    fuse.add_argument(
        "--blob-type", choices=("float32", "float16"), default="float32", help="float16: store weights as halves"
    )
    fuse.add_argument("--keep", metavar="LAYER", action="append", default=[], help="leave this layer exactly as it is")
    fuse.add_argument(
        "--rescale",
        choices=("needed", "always", "never"),
        default="needed",
        help="move powers of two between layers: where half precision loses numbers (needed), always, or never",
    )
    fuse.add_argument(
        "--keep-blob",
        metavar="BLOB",
        action="append",
        default=[],
        help="rescaling leaves the values of this blob alone",
    )
    _add_half_policy(fuse)
    _add_activations(fuse)
    _add_printing(fuse)
    fuse.set_defaults(command=_fuse)

    check = commands.add_parser("check", help="what half precision makes of a model's weights")
    _add_model(check, weights_needed=True)
    check.add_argument("--report", metavar="F.json", help="write the findings, as JSON")
    _add_half_policy(check)
    _add_activations(check)
    _add_printing(check)
    check.set_defaults(command=_check)

    calibrate = commands.add_parser("calibrate", help="record the ranges of a model's activations on data")
    _add_model(calibrate, weights_needed=True)
    calibrate.add_argument(
        "--input",
        metavar="F",
        action="append",
        required=True,
        help="samples: .npy, .npz, HDF5, or a folder of images; may be repeated",
    )
    calibrate.add_argument("-o", "--output", metavar="RANGES.json", required=True, help="the file to write")
    calibrate.add_argument("--mean", metavar="B,G,R", default="0", help="what images are less, one number or three")
    calibrate.add_argument("--scale", type=float, default=1.0, metavar="S", help="what images are multiplied by then")
    calibrate.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    calibrate.set_defaults(command=_calibrate)

    show = commands.add_parser("show", help="layers, blobs, and what would fold and what would not, and why")
    _add_model(show, weights_needed=False)
    show.set_defaults(command=_show)
    _add_upgrade(commands)
    return parser


def _add_upgrade(commands: Any) -> None:
    upgrade = commands.add_parser("upgrade", help="write a model of an old form (V0, V1) in today's")
    upgrade.add_argument("net", metavar="NET", help="the prototxt")
    upgrade.add_argument("weights", metavar="WEIGHTS", nargs="?", help="the caffemodel")
    upgrade.add_argument("-o", "--output", metavar="PREFIX", help="write PREFIX.prototxt and PREFIX.caffemodel")
    upgrade.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    upgrade.set_defaults(command=_upgrade)


def _add_model(parser: argparse.ArgumentParser, weights_needed: bool) -> None:
    parser.add_argument("net", metavar="NET", help="the prototxt")
    parser.add_argument("weights", metavar="WEIGHTS", nargs=None if weights_needed else "?", help="the caffemodel")
    parser.add_argument("--phase", choices=("TEST", "TRAIN"), default="TEST", help="which layers take part (TEST)")
    parser.add_argument("--level", type=int, default=0, metavar="N", help="the level in the layers' rules (0)")
    parser.add_argument("--stage", action="append", default=[], metavar="S", help="a stage in the layers' rules")
    parser.add_argument(
        "--input-shape",
        action="append",
        default=[],
        metavar="BLOB=1,3,224,224",
        help="the shape of an input, where the net leaves it out",
    )
    parser.add_argument("--bn-dialect", metavar="NAME", help="whose BatchNorm it is, where the files do not tell")


def _add_half_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--half-policy",
        default="ieee",
        metavar="NAME",
        help="how the device treats halves: ieee (default), flush, truncate, saturate, a target's name, or off",
    )
    parser.add_argument("--target", metavar="NAME", dest="half_policy", help="the device or converter: its half policy")


def _add_activations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sigmas", type=float, default=6.0, metavar="K", help="predict activations K deviations from their mean (6)"
    )
    parser.add_argument(
        "--ranges",
        metavar="RANGES.json",
        action="append",
        default=[],
        help="what calibrate recorded, instead of predictions; may be repeated",
    )
    parser.add_argument(
        "--half-sums", action="store_true", help="bound the sums of devices that add in halves, at the worst"
    )


def _add_printing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every layer")


def _with_strict_value(arguments: Sequence[str]) -> List[str]:
    """`--strict` alone means bn; argparse would take the next word for its value."""
    return ["--strict=bn" if argument == "--strict" else argument for argument in arguments]


def _fuse(options: argparse.Namespace) -> int:
    from .convert import fuse
    from .report.terminal import fold_report

    model = _load(options)
    result = fuse(
        model,
        keep=options.keep,
        half_policy=options.half_policy,
        strict=[name for name in options.strict.split(",") if name],
        prune=options.prune,
        weights_format=options.weights_format,
        blob_type=options.blob_type,
        rescale=options.rescale,
        keep_blobs=options.keep_blob,
        **_activations(options),
    )
    prefix = _prefix(options.output, model.document.path)
    reports = _reports(options)
    written: Tuple[str, ...] = ()
    if options.dry_run:
        result.save_reports(reports)
    else:
        try:
            written = result.save(prefix, force=options.force, reports=reports)
        except UnsafeResult:
            pass  # the report says why, and its status is 1
    report = result.report
    _print(options, fold_report(report, written, options.verbose), report.warnings)
    return report.status


def _activations(options: argparse.Namespace) -> Dict[str, Any]:
    """The options that expectations of activations rest on."""
    ranges = None
    for path in options.ranges:
        from .calibration import read_ranges

        found = read_ranges(path)
        ranges = found if ranges is None else ranges.merged(found)
    return {"sigmas": options.sigmas, "ranges": ranges, "half_sums": options.half_sums}


def _check(options: argparse.Namespace) -> int:
    from .activations import predict
    from .convert import check_half
    from .report.document import check_to_json
    from .report.terminal import check_report

    model = _load(options)
    half = check_half(model, half_policy=options.half_policy)
    activations = predict(model, **_activations(options))
    status = 0 if half.safe and not activations.problems(half.policy) else 1
    if options.report:
        content = check_to_json(model.paths, half, activations, model.warnings, status)
        _write_report(options.report, content, model.paths)
    _print(options, check_report(half, activations, options.verbose), model.warnings)
    return status


def _calibrate(options: argparse.Namespace) -> int:
    from .calibration import calibrate
    from .running import input_shapes
    from .samples import Pixels, open_samples

    model = _load(options)
    shapes = input_shapes(model.net)
    pixels = Pixels(_numbers("--mean", options.mean), options.scale)
    sets = [open_samples(path, shapes, pixels) for path in options.input]
    # As many at a time as the net was made for.
    size = next((shape[0] for shape in shapes.values() if shape and shape[0]), 1)
    batches = [batch for samples in sets for batch in samples.batches(size)]
    watched = batches if options.quiet else _watched(batches)
    found = calibrate(model, (read() for read in watched))
    _write_report(options.output, found.to_json(), (*model.paths, *options.input))
    summary = f"recorded   {len(found.values)} blobs, {found.samples} samples\nwrote      {options.output}\n"
    _print(options, summary, model.warnings)
    return 0


def _numbers(option: str, given: str) -> Tuple[float, ...]:
    try:
        return tuple(float(number) for number in given.split(","))
    except ValueError:
        raise InputError(f"{option} {given} is not a row of numbers", remedy="for example 104,117,123") from None


def _watched(items: Sequence[Any]) -> Iterable[Any]:
    """With a progress bar on a terminal, where tqdm is installed."""
    if not sys.stderr.isatty():
        return items
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    bar: Iterable[Any] = tqdm(items, unit="batch", file=sys.stderr, leave=False)
    return bar


def _show(options: argparse.Namespace) -> int:
    from .report.plan import plan_report

    model = _load(options)
    _print(argparse.Namespace(quiet=False), plan_report(model), model.warnings)
    return 0


def _upgrade(options: argparse.Namespace) -> int:
    from .report.terminal import upgrade_report
    from .upgrade import upgrade

    done = upgrade(options.net, options.weights, _prefix(options.output, options.net, "upgraded"))
    _print(options, upgrade_report(done), done.warnings)
    return 0


def _load(options: argparse.Namespace) -> Any:
    from .loader import load

    return load(
        options.net,
        options.weights,
        phase=options.phase,
        level=options.level,
        stages=options.stage,
        input_shapes=_input_shapes(options.input_shape),
        bn_dialect=options.bn_dialect,
    )


def _input_shapes(given: Sequence[str]) -> Dict[str, Tuple[int, ...]]:
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


def _prefix(output: Optional[str], net: str, made: str = "fused") -> str:
    """Where to write: PREFIX, or the default name in the folder that was given, or in the current one."""
    stem = os.path.splitext(os.path.basename(net))[0]
    if stem in ANONYMOUS:
        stem = os.path.basename(os.path.dirname(os.path.abspath(net))) or stem
    default = f"{stem}_{made}"
    if output is None:
        return default
    return os.path.join(output, default) if output.endswith("/") or os.path.isdir(output) else output


def _reports(options: argparse.Namespace) -> Dict[str, Any]:
    """What makes each report that was asked for, by its path."""
    wanted: Dict[str, Any] = {}
    if options.report:
        from .report.document import to_json

        wanted[options.report] = to_json
    if options.html:
        from .report.page import to_html

        wanted[options.html] = to_html
    if options.report and options.html and len(wanted) < 2:
        raise InputError(f"--report and --html both name {options.html}", remedy="give each a file of its own")
    return wanted


def _write_report(path: str, text: str, others: Sequence[str]) -> None:
    from .emit import Outputs

    with Outputs(others) as outputs:
        outputs.create(path).write_all(text.encode())
        outputs.commit()


def _print(options: argparse.Namespace, text: str, warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"caffe-fuse: warning: {warning}", file=sys.stderr)
    if options.quiet:
        return
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        # The reader has seen enough (`show | head`). Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str) -> None:
    print(f"caffe-fuse: error: {message}", file=sys.stderr)


def _saved_traceback() -> str:
    import tempfile
    import traceback

    handle, path = tempfile.mkstemp(prefix="caffe_fuse_", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return path


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt
