"""The bound on folded nets: an exact fold is within it, and every mistake that a fold can make exceeds it."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np
import pytest
import truth
from reference import CaffeAbort

INPUT = 'input: "x" input_shape { dim: 2 dim: 4 dim: 7 dim: 6 } '
CONVOLUTION = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
    "convolution_param { num_output: 6 kernel_size: 3 group: 2 bias_term: %s } } "
)
NORMALISATION = (
    'layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param { eps: 0.001 } } '
    'layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } } '
)
REST = (
    'layer { name: "r" type: "ReLU" bottom: "c" top: "c" } '
    'layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 2 } } '
)
BEFORE = (INPUT + CONVOLUTION % "false" + NORMALISATION + REST).encode()
AFTER = (INPUT + CONVOLUTION % "true" + REST).encode()
FACTOR = np.array(999.98, np.float32)
Blobs = Dict[str, List[np.ndarray]]


def _rounded(blobs: Blobs) -> Blobs:
    return {name: [array.astype(np.float32) for array in arrays] for name, arrays in blobs.items()}


def _before(seed: int) -> Blobs:
    random = np.random.RandomState(seed)
    mean, variance = random.randn(6), 10 ** random.uniform(-3, 3, 6)
    return _rounded(
        {
            "c": [random.randn(6, 2, 3, 3)],
            "b": [mean * FACTOR, variance * FACTOR, FACTOR.reshape(1)],
            "s": [random.randn(6), random.randn(6)],
        }
    )


def _after(before: Blobs, eps: float = 1e-3, step: int = 1, factor: float = float(FACTOR)) -> Blobs:
    """Returns an exact fold: in float64, rounded once. `eps`, `step` and `factor` introduce mistakes."""
    weight = before["c"][0].astype(np.float64)
    mean, variance = (blob.astype(np.float64) / factor for blob in before["b"][:2])
    scale = (before["s"][0] / np.sqrt(variance + np.float32(eps)))[::step]
    shift = before["s"][1] - mean * scale
    return _rounded({"c": [weight * scale.reshape(6, 1, 1, 1), shift]})


def _compare(seed: int, after: Blobs) -> truth.Comparison:
    inputs = {"x": np.random.RandomState(seed).randn(2, 4, 7, 6).astype(np.float32)}
    return truth.compare(BEFORE, _before(seed), AFTER, after, inputs)


@pytest.mark.parametrize("seed", range(20))
def test_an_exact_fold_is_within_the_bound(seed: int) -> None:
    comparison = _compare(seed, _after(_before(seed)))
    assert list(comparison.violations) == []
    assert [each.blob for each in comparison.differences] == ["x", "c", "p"]
    assert 0 < comparison.worst < 1


MISTAKES: Dict[str, Dict[str, Any]] = {
    "the default eps": {"eps": 1e-5},
    "channels in the wrong order": {"step": -1},
    "a factor that is off in its last digit": {"factor": 999.99},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_fold_breaks_the_bound_in_every_blob_behind_it(mistake: str) -> None:
    comparison = _compare(3, _after(_before(3), **MISTAKES[mistake]))
    assert [each.blob for each in comparison.violations] == ["c", "p"]


def test_weights_that_were_rounded_to_half_break_the_bound() -> None:
    after = _after(_before(3))
    after["c"][0] = after["c"][0].astype(np.float16).astype(np.float32)
    assert [each.blob for each in _compare(3, after).violations] == ["c", "p"]


def test_blobs_that_only_the_first_net_has_are_vanished() -> None:
    renamed = BEFORE.replace(b'bottom: "p"', b"").replace(b'top: "p"', b'top: "q"')
    comparison = truth.compare(BEFORE, _before(1), renamed, _before(1), {"x": np.ones((2, 4, 7, 6))})
    assert comparison.vanished == ("p",)
    assert [each.blob for each in comparison.differences] == ["x", "c"]


def test_blobs_behind_an_unknown_layer_are_named() -> None:
    net = INPUT + 'layer { name: "m" type: "Mystery" bottom: "x" top: "m" } '
    comparison = truth.compare(net.encode(), {}, net.encode(), {}, {"x": np.ones((2, 4, 7, 6))})
    assert comparison.unknown == ("m",)


def test_a_blob_that_the_second_net_cannot_compute_is_a_violation() -> None:
    mystery = BEFORE.replace(b'"Pooling"', b'"Mystery"')
    comparison = truth.compare(BEFORE, _before(1), mystery, _before(1), {"x": np.ones((2, 4, 7, 6))})
    assert [("p", float("inf"))] == [(each.blob, each.error) for each in comparison.violations]


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(ValueError, match="no blob in common"):
        truth.compare(BEFORE, _before(1), b"", {}, {"x": np.ones((2, 4, 7, 6))})


def test_weights_that_do_not_fit_the_second_net_are_an_error() -> None:
    with pytest.raises(CaffeAbort, match="2 blobs are needed, 1 are stored"):
        _compare(1, {"c": _before(1)["c"]})


def test_the_bound_is_four_own_errors_and_four_ulp() -> None:
    assert truth.bound(0.5, 1.0) == 4 * 0.5 + 4 * 2.0**-23


@pytest.mark.parametrize(
    ("actual", "error"),
    [([1.0, 2.5], 0.5), ([1.0, float("nan")], float("inf")), ([1.0], float("inf")), ([1.0, 2.0], 0.0)],
)
def test_what_cannot_be_compared_is_infinitely_wrong(actual: List[float], error: float) -> None:
    assert error == truth.largest_error(np.array([1.0, 2.0]), np.array(actual))


def test_records_are_read_only() -> None:
    case = truth.load("fold-ip")
    assert case.prototxt == case.prototxt_path.read_bytes()
    assert case.weights == case.weights_path.read_bytes()
    assert not any(array.flags.writeable for array in [*case.inputs.values(), *case.outputs.values()])
