"""Fuzz targets: each makes a case from a Random, and reports results that must not occur."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import bounded
import nets
import numpy as np
from mutations import mutated_bytes, mutated_net, parts_of
from random_nets import Seeded, WideBuilder
from reference.files import message_class

from caffe_fuse.errors import CaffeFuseError
from caffe_fuse.layers import LAYERS
from caffe_fuse.protobuf import text as textproto
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.report.show import plan_report
from caffe_fuse.weights import read_weights

DATA = Path(__file__).resolve().parent.parent / "data"
COMMANDS = 5
MANY = 1 << 20  # elements of a blob; larger blobs are not read, except their first elements
SECONDS = 20.0
# What takes as much memory and time as the text asks for, here and in Caffe.
RUNNING = {"run", "verify", "calibrate"}


class Case(NamedTuple):
    """A case. files: by name. arguments: of the command, if there is one."""

    files: Dict[str, bytes]
    arguments: Sequence[str] = ()


class Find(Exception):
    """A fault that was found. kind: the same for all cases of one cause."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def read_all(folder: Path, name: str) -> List[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob(f"*/{name}"))]


class Bytes:
    """Mutated bytes of known files, which one function reads."""

    def __init__(self, name: str, known: Sequence[bytes], read: Callable[[bytes], None]) -> None:
        self.known = known
        self._name, self._read = name, read

    def case(self, random: Random) -> Case:
        return Case({self._name: mutated_bytes(random.choice(self.known), random, self.known)})

    def run(self, case: Case) -> None:
        self.check(case.files[self._name])

    def check(self, data: bytes) -> None:
        with allowed():
            self._read(data)


@contextlib.contextmanager
def allowed() -> Iterator[None]:
    """Checks that the only error is one of the input, within some seconds."""
    try:
        with bounded.at_most(SECONDS):
            yield
    except CaffeFuseError as error:
        if error.exit_status != 2:
            raise Find(f"status {error.exit_status}", str(error)) from error
    except bounded.TooLong as error:
        raise Find("too long", f"more than {SECONDS:g} s") from error
    except MemoryError as error:
        raise Find("memory", str(error)) from error


def read_text(data: bytes) -> None:
    document = textproto.parse(data, "net.prototxt")
    if document.source != data:
        raise Find("text", "the text is not what was read")
    plan_report(nets.model(data, None))


def read_numbers(data: bytes) -> None:
    for record in read_weights(Source(data, "net.weights")).layers:
        for blob in record.blobs:
            with contextlib.suppress(CaffeFuseError):
                if blob.count <= MANY:
                    blob.array()
                else:
                    next(iter(blob.chunks()))


class Structure:
    """Mutated nets with weights (their own, mutated, or others), each under COMMANDS commands with options."""

    def __init__(self) -> None:
        self._files: Dict[str, bytes] = {}
        self._left = 0
        self.statuses: Counter[str] = Counter()
        folders = [path.parent for path in sorted(DATA.glob("*/*/net.prototxt"))]
        self._pairs = [(folder, (folder / "net.prototxt").read_text("utf-8", "replace")) for folder in folders]
        self._texts = [text for _, text in self._pairs]
        self._place = Path(tempfile.mkdtemp(prefix="caffe_fuse_fuzz_", dir=_memory()))

    def close(self) -> None:
        shutil.rmtree(self._place)

    def case(self, random: Random) -> Case:
        if not self._left:
            self._files, self._left = self._drawn(random), COMMANDS
        self._left -= 1
        return Case(self._files, arguments(random, self._files["net.prototxt"]))

    def _drawn(self, random: Random) -> Dict[str, bytes]:
        if random.random() < 0.3:
            net = WideBuilder(Seeded(random.randrange(10**9))).net(random.randint(1, 4)).decode()
            weights = fitting(net.encode(), random) or b""
        else:
            folder, net = random.choice(self._pairs)
            weights = self._stored(folder)
        changed = mutated_net(net, random, self._texts, list(LAYERS)).encode("utf-8", "surrogateescape")
        if random.random() < 0.5:
            weights = fitting(changed, random) or weights
        inputs = made_inputs(changed.decode("utf-8", "replace"), random)
        return {"net.prototxt": changed, "net.weights": self._changed(weights, random), "inputs.npz": inputs}

    def _stored(self, folder: Path) -> bytes:
        found = sorted([*folder.glob("net.caffemodel*")])
        return found[0].read_bytes() if found else b""

    def _changed(self, weights: bytes, random: Random) -> bytes:
        chance = random.random()
        if chance < 0.15 and len(weights) > 40:
            place = random.randrange(len(weights) - 4)
            bad = random.choice((np.nan, np.inf, -np.inf, 3e38, -3e38, 0, 1e-40, 65519, 65520, 1e30))
            return weights[:place] + np.float32(bad).tobytes() + weights[place + 4 :]
        if chance < 0.2:
            return mutated_bytes(weights, random, [weights])
        if chance < 0.22:
            return self._stored(random.choice(self._pairs)[0])
        return weights

    def run(self, case: Case) -> None:
        for old in self._place.iterdir():
            old.unlink()
        for name, content in case.files.items():
            (self._place / name).write_bytes(content)
        command = [argument.replace("{}", str(self._place)) for argument in case.arguments]
        running = command[0] in RUNNING or "--verify" in command
        found = bounded.attempt(command, SECONDS / 10 if running else SECONDS)
        self.statuses[f"{command[0]} {found.status}"] += 1
        if found.status in (0, 1, 2) or (running and (found.status is None or "memory is too small" in found.err)):
            return
        kind = cause(found.traceback) or found.err.strip().splitlines()[-1:] or ["too long"]
        raise Find(str(kind), found.traceback or found.err)


def fitting(net: bytes, random: Random) -> Optional[bytes]:
    """Returns weights of the shapes of the net, as caffemodel or HDF5; None if too large, or if the net is invalid."""
    try:
        with bounded.at_most(SECONDS):
            model = nets.model(net, None)
            if sum(blob.count for layer in model.net.layers for blob in layer.blobs) > MANY:
                return None
            numbers = nets.numbers(net, random.randrange(100))
            if random.random() < 0.2:
                return nets.hdf5({name: dict(enumerate(arrays)) for name, arrays in numbers.items()})
            return nets.caffemodel(net, numbers)
    except Exception:  # of the code that makes the weights, which is the tests' own; the command meets the net alone
        return None
    except bounded.TooLong:
        return None


def made_inputs(net: str, random: Random) -> bytes:
    """Returns an array for the first input of the net, mostly of its shape."""
    name = (re.findall(r'(?:input|top): "(\w*)"', net) or ["x"])[0]
    shape = [int(dim) for dim in re.findall(r"dim: (\d{1,2})\b", net)[:4]]
    if random.random() < 0.2:
        shape = [random.choice((0, 1, 2, 3, 8)) for _ in range(random.randint(0, 5))]
    array: Any = np.full(shape, random.choice((1, 1, 1, 0, 6e4, np.nan, np.inf)), random.choice(("f4", "f8", "f2")))
    content = io.BytesIO()
    np.savez(content, **{name or "x": array})
    return content.getvalue()


def arguments(random: Random, net: bytes) -> List[str]:
    """Returns a command on the files {}/net.prototxt and {}/net.weights, with options."""
    pair = ["{}/net.prototxt", "{}/net.weights"]
    words = [word.decode("utf-8", "replace") for word in net.split(b'"')[1::2]] or ["x"]
    command = random.choice(("fuse",) * 6 + ("check", "check", "show", "show", "run", "verify", "calibrate", "upgrade"))
    likely = {"--keep", "--keep-blob", "--input-shape", "--bn-dialect", "--strict"}  # to be wrong
    chances = [
        (option, 0.07 if option[0].split("=")[0] in likely else 0.3) for option in options(random, words)[command]
    ]
    drawn = [option for option, chance in chances if random.random() < chance]
    files = [*pair, *pair] if command == "verify" else pair[: random.choice((1, 2)) if command == "show" else 2]
    if command in ("fuse", "upgrade"):
        files += ["-o", "{}/new"]
    if command == "calibrate":
        files += ["-o", "{}/ranges.json", "--input", "{}/inputs.npz"]
    return [command, *files, *(part for option in drawn for part in option)]


def options(random: Random, words: Sequence[str]) -> Dict[str, List[List[str]]]:
    pick: Callable[..., Any] = lambda *choices: random.choice(choices)  # noqa: E731
    dims = ",".join(str(random.choice((0, 1, 2, 3, 4, 5, 8))) for _ in range(random.randint(1, 5)))
    reading = [
        ["--phase", pick("TEST", "TRAIN")],
        ["--level", pick("0", "1", "-1")],
        ["--stage", pick("deploy", "x")],
        [f"--input-shape={random.choice(words)}={dims}"],
        [
            "--bn-dialect",
            pick("bvlc", "nvidia", "digits", "intel", "happynear", "pspnet", "segnet", "opencv", "synopsys"),
        ],
    ]
    half = [["--half-policy", pick("ieee", "flush", "truncate", "saturate", "off", "openvino", "mnn")]]
    more = [["--report", "{}/report.json"], ["--sigmas", pick("1", "6", "1e9")], ["--half-sums"], ["-v"]]
    fuse = [
        *([option] for option in ("--dry-run", "--force", "--allow-bn", "--use-global-stats", "--prune", "--verify")),
        [f"--strict={pick('refused', 'flush', 'refused,flush', 'bn')}"],
        ["--weights-format", pick("caffemodel", "hdf5")],
        ["--blob-type", pick("float16", "float32")],
        [f"--keep={random.choice(words)}"],
        ["--rescale", pick("always", "always", "never", "needed")],
        [f"--keep-blob={random.choice(words)}"],
    ]
    run = [
        ["--precision", pick("float64", "half")],
        ["--blobs", "all"],
        ["-o", "{}/out.npz"],
        ["--seed", pick("0", "7")],
    ]
    return {
        "fuse": [*reading, *half, *more, *fuse],
        "check": [*reading, *half, *more],
        "show": reading,
        "run": [*reading, *half, *run, ["--input", "{}/inputs.npz"]],
        "verify": [*reading, *half, ["--precision", "float32"], ["--report", "{}/report.json"]],
        "calibrate": [*reading, ["-q"]],
        "upgrade": [["-q"]],
    }


def cause(traceback: str) -> str:
    """Returns where an internal error was raised, and its kind."""
    lines = traceback.strip().splitlines()
    places = [line.strip() for line in lines if "caffe_fuse" in line and line.lstrip().startswith("File ")]
    return f"{lines[-1][:80]} | {places[-1].rsplit('/', 1)[-1]}" if places else ""


def _memory() -> Optional[str]:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def target(name: str) -> Any:
    truths = DATA / "caffe_truth"
    if name == "text":
        texts = read_all(DATA, "*/net.prototxt")
        return Bytes("net.prototxt", [*texts, *alone(texts)], read_text)
    if name == "caffemodel":
        models = read_all(truths, "net.caffemodel")
        return Bytes("net.caffemodel", [*models, *records(models)], read_numbers)
    if name == "hdf5":
        arrays: Dict[str, Dict[int, np.ndarray]] = {
            "c": {0: np.ones((2, 3), "f4"), 1: np.ones(2, "f2")},
            "b": {0: np.ones(3)},
            "s": {},
        }
        return Bytes("net.caffemodel.h5", [nets.hdf5(arrays), *read_all(truths, "*.h5")], read_numbers)
    if name == "structure":
        return Structure()
    sys.exit(f"no target {name}: text, caffemodel, hdf5 or structure")


def alone(texts: Sequence[bytes]) -> List[bytes]:
    """Returns nets of one layer, which run many times faster than a whole net."""
    parts = [parts_of(text.decode("utf-8", "replace")) for text in texts]
    return [(head + layer).encode() for head, *layers in parts for layer in layers]


def records(models: Sequence[bytes]) -> List[bytes]:
    """Returns files of one layer."""
    message = message_class("NetParameter")
    found = [record for model in models for record in message.FromString(model).layer]
    return [bytes(message(layer=[record]).SerializeToString()) for record in found]
