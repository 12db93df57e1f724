from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import reference
from conftest import PROJECT

import caffe_fuse

FOLDER = PROJECT / "sample_nets"
MANIFEST = json.loads((FOLDER / "MANIFEST.json").read_text())["nets"]


def _load_generator() -> Any:
    specification = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


generate = _load_generator()


def weights_of(name: str, folder: Path) -> Path:
    committed = FOLDER / f"{name}.caffemodel"
    if committed.exists():
        return committed
    made = folder / f"{name}.caffemodel"
    generate.write_weights(name, made)
    return made


def picture(seed: int, size: int) -> np.ndarray:
    """Pixels that are like their neighbours, of a brightness that is the picture's own."""
    random = np.random.RandomState(seed)
    coarse = random.uniform(-60, 60, (1, 3, size // 8, size // 8)).repeat(8, axis=2).repeat(8, axis=3)
    fine = random.uniform(-20, 20, (1, 3, size, size))
    return np.clip(coarse + fine + random.uniform(80, 170), 0, 255)


@pytest.mark.parametrize("name", MANIFEST)
def test_the_committed_definition_is_what_the_generator_writes(name: str) -> None:
    assert generate.definition(name).encode() == (FOLDER / f"{name}.prototxt").read_bytes()


@pytest.mark.parametrize("name", generate.WITH_WEIGHTS)
def test_the_committed_weights_are_what_the_generator_writes(name: str, tmp_path: Path) -> None:
    generate.write_weights(name, tmp_path / "made.caffemodel")
    same = (tmp_path / "made.caffemodel").read_bytes() == (FOLDER / f"{name}.caffemodel").read_bytes()
    assert same


def test_the_manifest_names_each_net_and_each_file() -> None:
    listed = {file for net in MANIFEST.values() for file in net["files"]}
    present = {path.name for path in FOLDER.iterdir() if path.suffix in {".prototxt", ".caffemodel"}}
    assert set(generate.NETS) == set(MANIFEST)
    assert listed == present


@pytest.mark.parametrize("name", MANIFEST)
def test_what_the_manifest_expects_of_a_fold_is_true(name: str, tmp_path: Path) -> None:
    weights = weights_of(name, tmp_path)
    result = caffe_fuse.fuse(caffe_fuse.load(str(FOLDER / f"{name}.prototxt"), str(weights)))
    report = result.report
    actual: Dict[str, object] = {
        "folded": len(report.folded),
        "converted": len(report.converted),
        "refused": len(report.refused),
        "safe_before": report.before.safe,
        "safe_after": report.after.safe,
    }
    if weights.parent == tmp_path:
        weights.unlink()
    assert MANIFEST[name]["expected"] == actual


@pytest.mark.parametrize("name", generate.WITH_WEIGHTS)
def test_a_net_tells_pictures_apart_and_is_not_saturated(name: str) -> None:
    texts = (FOLDER / f"{name}.prototxt").read_bytes(), (FOLDER / f"{name}.caffemodel").read_bytes()
    size = generate.NETS[name].image
    one, other = (reference.run(*texts, {"data": picture(seed, size)})["probabilities"] for seed in (1, 2))
    assert max(one.max(), other.max()) < 0.95
    assert np.abs(one - other).max() > 0.01
