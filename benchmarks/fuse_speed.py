"""Measures time and memory of `caffe-fuse fuse` and `check` as whole processes, compared with a plain copy.

    python benchmarks/fuse_speed.py [--models resnet50,resnet152,wide] [--runs 7] [--folder DIR]

The reference is `cp` of the weights and fsync of the copy, in the same folder. The programs take turns, so that a slow
moment of the machine affects all of them. A minimal fold with protobuf, and MNN's converter if it is installed
(`make toolchains TOOLS=mnn`), show what others take. The weights, of 102 MB, 241 MB and 1 GB (`wide`), are generated in
the folder and kept there. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from made_nets import write_wide

PROJECT = Path(__file__).resolve().parent.parent
SAMPLE_NETS = PROJECT / "sample_nets"
NAIVE = Path(__file__).resolve().parent / "naive_fold.py"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caffe_fuse" / "benchmarks"
POLL_SECONDS = 0.003
# An installed package is already compiled; the first run of a checkout should leave its compiled form too.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

COPY, START, FUSE, CHECK = "cp and fsync", "python with numpy", "caffe-fuse fuse", "caffe-fuse check"
NAIVE_FOLD, MNN = "naive fold", "MNNConvert"
WIDE = "wide"
# Where `make toolchains TOOLS=mnn` installs it.
MNN_CONVERT = PROJECT / ".toolchains" / "mnn" / "bin" / "mnnconvert"


class Measured(NamedTuple):
    """One run of a process. seconds: wall time. peak, anonymous: the largest VmHWM and RssAnon seen, kB."""

    seconds: float
    peak: int
    anonymous: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the fold against a plain copy.")
    parser.add_argument("--models", default="resnet50,resnet152,wide", help="with commas (resnet50,resnet152,wide)")
    parser.add_argument("--runs", type=int, default=7, help="of each program; the median counts (7)")
    parser.add_argument("--folder", type=Path, default=CACHE, help=f"where the files are made ({CACHE})")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.models.split(","):
        weights = weights_of(name, options.folder)
        net = (weights.parent if name == WIDE else SAMPLE_NETS) / f"{name}.prototxt"
        report(name, weights, measure_all(programs(net, weights), weights, options.runs))


def weights_of(name: str, folder: Path) -> Path:
    """Returns the caffemodel of a net in the folder, generated if it is not there yet."""
    weights = folder / f"{name}.caffemodel"
    if not weights.exists() and name == WIDE:
        write_wide(folder / name)
    if not weights.exists():
        unfinished = folder / f"{name}.unfinished"
        generate = [sys.executable, str(SAMPLE_NETS / "generate.py"), "--weights", name, str(unfinished)]
        subprocess.run(generate, check=True)
        unfinished.rename(weights)
    return weights


def programs(net: Path, weights: Path) -> Dict[str, List[str]]:
    """Returns the commands to compare; each writes its files as output.* into the folder of the weights."""
    pair, output = [str(net), str(weights)], str(weights.parent / "output")
    copy = 'cp "$0" "$1" && sync "$1"'
    tool = [sys.executable, "-m", "caffe_fuse"]
    commands = {
        COPY: ["sh", "-c", copy, str(weights), f"{output}.caffemodel"],
        START: [sys.executable, "-c", "import numpy"],
        FUSE: [*tool, "fuse", *pair, "-o", output, "-q"],
        CHECK: [*tool, "check", *pair, "-q"],
        NAIVE_FOLD: [sys.executable, str(NAIVE), *pair, output],
    }
    convert = shutil.which("mnnconvert") or (str(MNN_CONVERT) if MNN_CONVERT.exists() else None)
    if convert is not None:
        files = ["--prototxt", pair[0], "--modelFile", pair[1], "--MNNModel", f"{output}.mnn", "--bizCode", "x"]
        commands[MNN] = [convert, "-f", "CAFFE", *files]
    return commands


def measure_all(commands: Dict[str, List[str]], weights: Path, runs: int) -> Dict[str, List[Measured]]:
    """Runs the commands in turn; removing their output is not timed."""
    results: Dict[str, List[Measured]] = {title: [] for title in commands}
    subprocess.run([sys.executable, "-m", "caffe_fuse", "--version"], cwd=PROJECT, env=ENVIRONMENT, check=True)
    for _ in range(runs):
        for title, command in commands.items():
            # Every program finds its input in the page cache, and no other writes in progress.
            weights.read_bytes()
            os.sync()
            results[title].append(measure(command))
            for output in weights.parent.glob("output.*"):
                output.unlink()
    return results


def measure(command: Sequence[str]) -> Measured:
    """Runs a command and watches its memory; ends this program if it fails."""
    peaks = {"VmHWM": 0, "RssAnon": 0}
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    watcher = threading.Thread(target=watch, args=(process.pid, peaks))
    watcher.start()
    status = process.wait()
    seconds = time.perf_counter() - started
    watcher.join()
    if status != 0 and "check" not in command:  # which says that the net before is not safe
        raise SystemExit(f"status {status} from: {' '.join(command)}")
    return Measured(seconds, peaks["VmHWM"], peaks["RssAnon"])


def watch(process_id: int, peaks: Dict[str, int]) -> None:
    """Keeps the largest values of these lines of /proc/PID/status until the process is gone."""
    while True:
        try:
            lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return
        values = {name: value for name, _, value in (line.partition(":") for line in lines)}
        # A process that has ended but was not waited for has no memory left.
        if "VmHWM" not in values:
            return
        for name in peaks:
            peaks[name] = max(peaks[name], int(values[name].split()[0]))
        time.sleep(POLL_SECONDS)


def report(name: str, weights: Path, results: Dict[str, List[Measured]]) -> None:
    medians = {title: statistics.median(run.seconds for run in runs) for title, runs in results.items()}
    print(f"{name}, {weights.stat().st_size / 1e6:.0f} MB, median of {len(results[COPY])} runs")
    print(f"  {'':<20}{'seconds':>9}{'min':>8}{'max':>8}{'peak MB':>10}{'anonymous MB':>14}")
    for title, runs in results.items():
        seconds = [run.seconds for run in runs]
        peak, anonymous = max(run.peak for run in runs) / 1e3, max(run.anonymous for run in runs) / 1e3
        row = f"  {title:<20}{medians[title]:>9.3f}{min(seconds):>8.3f}{max(seconds):>8.3f}"
        print(f"{row}{peak:>10.0f}{anonymous:>14.0f}")
    for title in (title for title in results if title not in (COPY, START)):
        started = 0.0 if title == MNN else medians[START]
        print(f"  {title} without the start of python: {(medians[title] - started) / medians[COPY]:.2f} x {COPY}")
    print(flush=True)


if __name__ == "__main__":
    main()
