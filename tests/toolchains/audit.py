"""Compares what `check --target` says of nets with what the real tools do with them, and prints where they differ.

    python tests/toolchains/audit.py [--only TOOL[,TOOL]] [--nets WORD[,WORD]]

The nets are those of run.py and the public definitions, these with random weights, as they are. A false alarm: the tool
takes a net of which `check` says that it refuses it. A miss: it does not, and `check` says nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Counter as Counts
from typing import Dict, Iterator, Optional, Sequence, Tuple

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from seeded import numbered  # noqa: E402
from toolchains.run import SHARED, TOOLS, Net, Tool, ask, install, nets, seeded  # noqa: E402

import caffe_fuse  # noqa: E402
from caffe_fuse.blobs.blob import ArrayBlob, Blob  # noqa: E402
from caffe_fuse.emit.records import new_record  # noqa: E402
from caffe_fuse.net.bn_dialect import decide  # noqa: E402
from caffe_fuse.net.graph import Net as GraphNet  # noqa: E402
from caffe_fuse.protobuf.wire import Source  # noqa: E402
from caffe_fuse.targets import find, findings  # noqa: E402
from caffe_fuse.targets.demand import REFUSES  # noqa: E402
from caffe_fuse.weights.caffemodel_writer import write  # noqa: E402
from caffe_fuse.weights.records import WeightFile  # noqa: E402

DEFINITIONS = SHARED.parent / "prototxt"


def definitions(folder: Path) -> Iterator[Net]:
    for path in sorted(DEFINITIONS.glob("*.prototxt")):
        try:
            net = caffe_fuse.load(path).net
            seeds: Dict[Blob, ArrayBlob] = {}
            drawn = decide(net.with_layers([numbered(layer, seeds) for layer in net.layers])).net
        except caffe_fuse.CaffeFuseError as error:
            print(f"# {path.name}: {error}"[:160], flush=True)
            continue
        weights = folder / "net.caffemodel"
        weights.write_bytes(caffemodel(drawn))
        yield Net(path.stem, path, weights)


def caffemodel(net: GraphNet) -> bytes:
    pieces: Dict[int, bytes] = {}

    def put(place: int, data: memoryview) -> None:
        pieces[place] = bytes(data)

    empty = WeightFile("net.caffemodel", "caffemodel", Source(b"", "net.caffemodel"), "V2", ())
    write(empty, [new_record(layer, layer.blobs) for layer in net.layers], put)
    return b"".join(pieces[place] for place in sorted(pieces))


def verdict(tool: Tool, python: Path, net: Net) -> Optional[Sequence[str]]:
    """Whether check and the tool agree, and what each says; None for a net that cannot be tried."""
    try:
        model = caffe_fuse.load(net.prototxt, net.weights)
    except caffe_fuse.InputError:
        return None
    inputs = seeded(model)
    if inputs is None:
        return None
    said = [each.demand for each in findings(model, find(tool.target)) if each.effect == REFUSES]
    try:
        answer = ask(tool, python, net, inputs)
    except subprocess.TimeoutExpired:
        return None
    refused = isinstance(answer, str)
    names = {(True, True): "refused", (False, False): "taken", (True, False): "false alarm", (False, True): "MISS"}
    return names[bool(said), refused], ", ".join(sorted(set(said))), str(answer)[:160] if refused else ""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--nets", default="")
    options = parser.parse_args(arguments)
    counts: Counts[Tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for net in chain(nets(), definitions(Path(folder))):
            if options.nets and not any(word in net.name for word in options.nets.split(",")):
                continue
            for tool in TOOLS:
                if options.only and tool.name not in options.only.split(","):
                    continue
                found = verdict(tool, install(tool), net)
                if found is not None:
                    counts[tool.name, found[0]] += 1
                    print(" | ".join([tool.name, net.name, *found]), flush=True)
    for (name, what), count in sorted(counts.items()):
        print(f"{name}: {what} {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
