from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import h5py
import numpy as np
import pytest
import reference
from caffemodel_bytes import parsed
from conftest import PROJECT

import caffe_fuse

FOLDER = PROJECT / "sample_nets"
MANIFEST = json.loads((FOLDER / "MANIFEST.json").read_text())["nets"]


def _script(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


generate = _script(FOLDER / "generate.py")
digits_accuracy = _script(PROJECT / "examples" / "digits_accuracy.py")


def weights_of(name: str, folder: Path) -> Path:
    committed = FOLDER / f"{name}.caffemodel"
    if committed.exists():
        return committed
    made = folder / f"{name}.caffemodel"
    generate.write_weights(name, made)
    return made


def picture(seed: int, size: int) -> np.ndarray:
    """Returns pixels that are similar to their neighbours, with a random brightness of the image."""
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
    present = {path.name for path in FOLDER.iterdir() if path.suffix in {".prototxt", ".caffemodel", ".h5"}}
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


DIGITS = MANIFEST["digits_resnet"]


@pytest.fixture(scope="module")
def held_out() -> Tuple[np.ndarray, np.ndarray]:
    """Returns the digits that digits_resnet was not trained on, and their labels."""
    with h5py.File(FOLDER / "digits_test.h5", "r") as file:
        return file["data"][:], file["label"][:]


def test_the_held_out_digits_are_what_an_hdf5_data_layer_reads(held_out: Tuple[np.ndarray, np.ndarray]) -> None:
    digits, labels = held_out
    count = DIGITS["digits"]
    assert ((count, 1, 8, 8), (count,)) == (digits.shape, labels.shape)
    assert (np.dtype(np.float32), np.dtype(np.float32)) == (digits.dtype, labels.dtype)
    assert (0, 255) == (digits.min(), digits.max())
    assert set(range(10)) == set(labels.tolist())


# The accuracy of each net in float32 and in half, as it is printed.
ACCURACY = {
    name: [f"{correct[precision] / DIGITS['digits']:.1%}" for precision in ("float32", "half")]
    for name, correct in DIGITS["correct"].items()
}


def table(text: str) -> Dict[str, List[str]]:
    rows = [line.rsplit(maxsplit=2) for line in text.splitlines() if line.endswith("%")]
    return {name.strip(): shares for name, *shares in rows}


def test_the_example_prints_the_accuracy_that_the_manifest_names(capsys: pytest.CaptureFixture[str]) -> None:
    digits_accuracy.main()
    assert ACCURACY == table(capsys.readouterr().out)


def test_the_readme_shows_the_accuracy_that_the_manifest_names() -> None:
    assert ACCURACY == table((PROJECT / "README.md").read_text(encoding="utf-8"))


def test_the_judge_reads_as_many_digits_as_the_manifest_names(held_out: Tuple[np.ndarray, np.ndarray]) -> None:
    digits, labels = held_out
    texts = (FOLDER / "digits_resnet.prototxt").read_bytes(), (FOLDER / "digits_resnet.caffemodel").read_bytes()
    answers = reference.run(*texts, {"data": digits})["probabilities"].argmax(axis=1)
    assert DIGITS["correct"]["with BatchNorm"]["float32"] == np.sum(answers == labels)


def test_in_half_the_net_with_batch_norm_gives_one_answer_for_all_digits(
    held_out: Tuple[np.ndarray, np.ndarray],
) -> None:
    digits, _ = held_out
    model = caffe_fuse.load(FOLDER / "digits_resnet.prototxt", FOLDER / "digits_resnet.caffemodel")
    probabilities = caffe_fuse.run(model, {"data": digits}, precision="half")["probabilities"]
    assert np.isfinite(probabilities).all()
    # The order of a sum decides the last rounding.
    assert np.ptp(probabilities, axis=0).max() <= 4 * 2.0**-11
    assert 1 == len(np.unique(probabilities.argmax(axis=1)))


def test_all_variances_of_the_first_layer_of_the_digits_net_overflow_half() -> None:
    net = parsed((FOLDER / "digits_resnet.caffemodel").read_bytes())
    (batch_norm,) = (layer for layer in net.layer if layer.name == "stem_bn")
    mean, variance, factor = (np.array(blob.data) for blob in batch_norm.blobs)
    assert 65504 < variance.min()
    # The means do not: channels go dead, rather than NaN.
    assert 65504 > np.abs(mean).max()
    assert 999.98 == pytest.approx(factor.item(), abs=0.01)
