"""Times the forward pass in float32 and in half, compared with OpenCV's (cv2.dnn of OpenCV 4) on the same net.

    python benchmarks/forward_speed.py [--nets resnet50,mobilenet] [--runs 9] [--folder DIR] [--folded]

All run in this process and take turns, so that a slow moment of the machine affects both. The weights are generated in
the folder and kept there. OpenCV folds BatchNorm itself when it first runs a net; with --folded this project folds it
before either runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import cv2
import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests")]

import nets  # noqa: E402
from fuse_speed import CACHE, SAMPLE_NETS, weights_of  # noqa: E402

import caffe_fuse  # noqa: E402

# Channels and stride of the depthwise layers, each followed by a 1x1 convolution (MobileNet v1).
SEPARABLE = (
    *((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)),
    *((512, 512, 1),) * 5,
    *((512, 1024, 2), (1024, 1024, 1)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the forward pass against OpenCV.")
    parser.add_argument("--nets", default="resnet50,mobilenet", help="with commas (resnet50,mobilenet)")
    parser.add_argument("--runs", type=int, default=9, help="of each, after one to warm up; the median counts (9)")
    parser.add_argument("--folder", type=Path, default=CACHE, help=f"where the files are made ({CACHE})")
    parser.add_argument("--folded", action="store_true", help="run the nets without their BatchNorm")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.nets.split(","):
        files = mobilenet(options.folder) if name == "mobilenet" else sample(name, options.folder)
        if options.folded:
            result = caffe_fuse.fuse(caffe_fuse.load(*files))
            weights, prototxt = result.save(str(options.folder / f"{name}_folded"), force=True)
            files = Path(prototxt), Path(weights)
        report(name, measure(contestants(*files), options.runs))


def sample(name: str, folder: Path) -> Tuple[Path, Path]:
    return SAMPLE_NETS / f"{name}.prototxt", weights_of(name, folder)


def mobilenet(folder: Path) -> Tuple[Path, Path]:
    """Returns MobileNet v1 for images of 224x224, with random weights."""
    files = folder / "mobilenet.prototxt", folder / "mobilenet.caffemodel"
    if not files[1].exists():
        definition = "\n".join(mobilenet_layers()).encode()
        files[0].write_bytes(definition)
        files[1].write_bytes(nets.caffemodel(definition, nets.numbers(definition)))
    return files


def mobilenet_layers() -> Iterator[str]:
    yield 'input: "data" input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }'
    yield from convolution("conv0", "data", "num_output: 32 kernel_size: 3 pad: 1 stride: 2")
    top = "conv0"
    for place, (inputs, outputs, stride) in enumerate(SEPARABLE, 1):
        window = f"num_output: {inputs} group: {inputs} kernel_size: 3 pad: 1 stride: {stride}"
        yield from convolution(f"depthwise{place}", top, window)
        yield from convolution(f"pointwise{place}", f"depthwise{place}", f"num_output: {outputs} kernel_size: 1")
        top = f"pointwise{place}"
    yield layer("pool", "Pooling", top, "pool", "pooling_param { pool: AVE global_pooling: true }")
    yield layer("fc", "InnerProduct", "pool", "fc", "inner_product_param { num_output: 1000 }")
    yield layer("prob", "Softmax", "fc", "prob", "")


def convolution(name: str, bottom: str, settings: str) -> Iterator[str]:
    yield layer(name, "Convolution", bottom, name, f"convolution_param {{ {settings} bias_term: false }}")
    yield layer(f"{name}_bn", "BatchNorm", name, name, "")
    yield layer(f"{name}_scale", "Scale", name, name, "scale_param { bias_term: true }")
    yield layer(f"{name}_relu", "ReLU", name, name, "")


def layer(name: str, kind: str, bottom: str, top: str, settings: str) -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {settings} }}'


def contestants(prototxt: Path, weights: Path) -> Dict[str, Callable[[], np.ndarray]]:
    """Returns the functions to time; each returns the last blob of the net."""
    model = caffe_fuse.load(prototxt, weights)
    value = (np.random.RandomState(0).rand(1, 3, 224, 224) * 255 - 120).astype(np.float32)
    reader = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    reader.setInput(value)
    last = model.net.blob_names[-1]
    return {
        "OpenCV": reader.forward,
        "caffe_fuse": lambda: caffe_fuse.run(model, {"data": value})[last],
        "half": lambda: caffe_fuse.run(model, {"data": value}, precision="half")[last],
    }


def measure(programs: Dict[str, Callable[[], np.ndarray]], runs: int) -> Dict[str, List[float]]:
    """Returns the seconds of each run, in turns; ends this program if the outputs in float32 differ."""
    answers = {title: program() for title, program in programs.items()}
    expected, actual = answers["OpenCV"], answers["caffe_fuse"]
    if not np.allclose(expected, actual, rtol=0, atol=1e-3 * np.abs(expected).max()):
        raise SystemExit(f"the answers differ by {np.abs(expected - actual).max()}")
    seconds: Dict[str, List[float]] = {title: [] for title in programs}
    for _ in range(runs):
        for title, program in programs.items():
            started = time.perf_counter()
            program()
            seconds[title].append(time.perf_counter() - started)
    return seconds


def report(name: str, seconds: Dict[str, List[float]]) -> None:
    print(f"{name}, OpenCV {cv2.__version__}, numpy {np.__version__}, {len(seconds['OpenCV'])} runs")
    for title, times in seconds.items():
        median, least, most = (1e3 * pick(times) for pick in (statistics.median, min, max))
        print(f"  {title:<12}{median:>8.1f} ms, from {least:.1f} to {most:.1f}")
    ratio, at_best = (pick(seconds["caffe_fuse"]) / pick(seconds["OpenCV"]) for pick in (statistics.median, min))
    print(f"  {ratio:.2f} x OpenCV, the fastest runs {at_best:.2f} x")
    print(
        f"  half: {statistics.median(seconds['half']) / statistics.median(seconds['caffe_fuse']):.2f} x float32",
        flush=True,
    )


if __name__ == "__main__":
    main()
