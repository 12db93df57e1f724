"""What computes a net in float32 to judge a fold: real Caffe where it is installed, tests/reference elsewhere."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Protocol, Sequence, Union

import numpy as np
import reference
from conftest import PROJECT
from reference.files import message_class, stored_blob

ORACLE = PROJECT / ".venv-oracle" / "bin" / "python"  # made by `make oracle`
WORKER = Path(__file__).with_name("caffe_worker.py")


class Question(NamedTuple):
    """A net to run on these inputs: the text, and a caffemodel or an HDF5 file."""

    prototxt: bytes
    weights: bytes
    inputs: Mapping[str, np.ndarray]


Values = Dict[str, np.ndarray]
Answer = Union[Values, str]  # the last value of every blob, or why there is none


class Judge(Protocol):
    name: str

    def answers(self, questions: Sequence[Question]) -> List[Answer]:
        """Returns an answer for each question, in their order."""


class Reference:
    """tests/reference, in float32."""

    name = "tests/reference"

    def answers(self, questions: Sequence[Question]) -> List[Answer]:
        return [self.answer(each) for each in questions]

    def answer(self, question: Question) -> Answer:
        try:
            return reference.run(*question, dtype=np.float32)
        except reference.CaffeAbort as abort:
            return str(abort)


class Caffe:
    """Real Caffe, in its own process for many questions at once; where it stops, another process continues."""

    name = "Caffe"

    def __init__(self, python: Path = ORACLE) -> None:
        self._python = python

    def answers(self, questions: Sequence[Question]) -> List[Answer]:
        with tempfile.TemporaryDirectory() as folder:
            files = [_written(question, Path(folder), place) for place, question in enumerate(questions)]
            reasons: Dict[int, str] = {}
            first = 0
            while first < len(files):
                last_words = self._run(files[first:])
                first = next((place for place in range(first, len(files)) if not files[place][-1].exists()), len(files))
                if first < len(files):
                    reasons[first] = last_words
                    first += 1
            return [reasons[place] if place in reasons else _read(file[-1]) for place, file in enumerate(files)]

    def _run(self, files: Sequence[Sequence[Path]]) -> str:
        """Runs the process, and returns the end of its stderr."""
        lines = "".join("\t".join(map(str, paths)) + "\n" for paths in files)
        done = subprocess.run([str(self._python), str(WORKER)], input=lines.encode(), capture_output=True)
        return "\n".join(done.stderr.decode(errors="replace").splitlines()[-30:]) or f"status {done.returncode}"


def _written(question: Question, folder: Path, place: int) -> List[Path]:
    paths = [folder / f"{place}.{kind}" for kind in ("prototxt", "weights", "inputs.npz", "outputs.npz")]
    paths[0].write_bytes(question.prototxt)
    paths[1].write_bytes(widened(question.weights))
    inputs: Mapping[str, Any] = question.inputs
    np.savez(paths[2], **inputs)
    return paths


def widened(weights: bytes) -> bytes:
    """Returns a caffemodel with its fp16 weights as float32, the only type that BVLC Caffe reads."""
    if weights.startswith(b"\x89HDF"):
        return weights
    net = message_class("NetParameter").FromString(weights)
    for blob in (blob for layer in [*net.layers, *net.layer] for blob in layer.blobs if blob.raw_data):
        numbers = stored_blob(blob).numbers
        blob.ClearField("raw_data_type")
        blob.ClearField("raw_data")
        blob.data.extend(numbers.tolist())
    return bytes(net.SerializeToString())


def _read(path: Path) -> Values:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def installed() -> Judge:
    return Caffe() if ORACLE.exists() else Reference()
