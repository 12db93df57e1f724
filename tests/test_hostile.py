"""Nets with extreme values or sizes: the right result for each, in little memory and time.

The expected results are those of BVLC Caffe 1.0 for the same files: where it stops at a CHECK, the status is 2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import bounded
import nets
import numpy as np
import pytest

import caffe_fuse
from caffe_fuse.report.answers import run_report
from caffe_fuse.report.show import plan_report

HERE = Path(__file__).resolve().parent
FINDS = HERE / "data" / "finds"
MEMORY = 1_000_000_000  # of addresses; Python with numpy and h5py takes half of it

# Which statuses are right for fuse, check, show and run, and what an error says.
EXPECTED: Dict[str, Any] = {
    "nan_weights": ([1, 1, 0, 0], ""),
    "inf_weights": ([1, 1, 0, 0], ""),
    "huge_weights": ([1, 1, 0, 0], ""),
    "nan_in_bias": ([1, 1, 0, 0], ""),
    "exp_overflow": ([0, 0, 0, 0], ""),
    "exp_overflow_bn": ([0, 0, 0, 0], ""),
    "lrn_overflow": ([0, 0, 0, 0], ""),
    "exp_base_negative": ([2, 2, 2, 2], "base -2 has to be positive and finite"),
    "log_base_negative": ([2, 2, 2, 2], "base -2 has to be positive and finite"),
    "lrn_size0": ([2, 2, 2, 2], "local_size 0 has to be odd"),
    "softmax_zero": ([0, 0, 0, 2], "input x is 0x3, which has no elements"),
    "zero_batch": ([0, 0, 0, 2], "input x is 0x3x6x6, which has no elements"),
    "rank_33": ([2, 2, 2, 2], "input x: a blob would have 70 axes; the maximum is 32"),
    "show_2p63": ([2, 2, 2, 2], "a blob would be 2x9223372036854775807x8x8"),
    "show_negative_dim": ([2, 2, 2, 2], "a blob would be 2x-3x8x8"),
    "concat_doubling": ([2, 2, 2, 2], "layer k29 (Concat): a blob would be 1x2147483648x1x1"),
    "concat_huge_input": ([2, 2, 2, 2], "layer k (Concat): a blob would be 1x2147483651x1x1"),
    "flatten_huge": ([2, 2, 2, 2], "a blob would be 1x3x30000x30000, 2700000000 elements"),
    "flatten_huge_small_numbers": ([2, 2, 2, 2], "a blob would be 1x3x30000x30000"),
    "tile_huge": ([2, 2, 2, 2], "layer f (Tile): a blob would be 1x4000000000x4x4"),
    "show_kernel_huge": ([2, 2, 2, 2], "layer c (Convolution): a blob would be 2x4x2147490x2147490"),
    "show_bn_huge": ([2, 2, 2, 2], "layer b (BatchNorm)"),
    "big_flatten": ([0, 0, 0], ""),
    # A run needs as much memory as the text says, here and in Caffe.
    "reshape_channels_huge": ([0, 0, 0, 3], "net.prototxt: the memory is too small for a run"),
}

SCRIPT = """
import json, resource, sys
import bounded
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), -1))
for arguments in json.load(sys.stdin):
    found = bounded.attempt(arguments)
    print(json.dumps([found.status, found.err, found.traceback]), flush=True)
"""


def attempts(commands: List[List[str]]) -> List[Any]:
    """Returns status, errors and traceback of each command, all run in one process with little memory."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(MEMORY)],
        input=json.dumps(commands),
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        timeout=300,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, List[Any]]:
    prefix = str(tmp_path_factory.mktemp("out") / "new")
    commands, owners = [], []
    for find, (statuses, _) in EXPECTED.items():
        net, weights = (str(FINDS / find / name) for name in ("net.prototxt", "net.caffemodel"))
        each = [["fuse", net, weights, "-o", prefix], ["check", net, weights], ["show", net], ["run", net, weights]]
        commands += each[: len(statuses)]
        owners += [find] * len(statuses)
    found: Dict[str, List[Any]] = {find: [] for find in EXPECTED}
    for find, answer in zip(owners, attempts(commands)):
        found[find].append(answer)
    return found


@pytest.mark.parametrize("find", EXPECTED)
def test_a_hostile_net_gets_its_status_in_little_memory(find: str, answers: Dict[str, List[Any]]) -> None:
    statuses, says = EXPECTED[find]
    assert [("", status) for status in statuses] == [(traceback, status) for status, _, traceback in answers[find]]
    for status, err, _ in answers[find]:
        assert (says in err) if status > 1 else ("error" not in err)


@pytest.mark.parametrize("find", ["nan_weights", "inf_weights"])
@pytest.mark.parametrize("policy", ["ieee", "off"])
def test_numbers_that_are_not_finite_stay_as_they_are_and_no_power_moves_them(find: str, policy: Any) -> None:
    model = caffe_fuse.load(FINDS / find / "net.prototxt", FINDS / find / "net.caffemodel")
    result = caffe_fuse.fuse(model, half_policy=policy, rescale="always")
    before, after = (
        [blob.array() for layer in each.net.layers for blob in layer.blobs] for each in (model, result.model)
    )
    assert [np.isfinite(array).tolist() for array in before] == [np.isfinite(array).tolist() for array in after]
    assert not result.report.rescaled


@pytest.mark.parametrize("find", ["exp_overflow", "exp_overflow_bn"])
def test_a_shift_that_overflows_gives_what_caffe_gives(find: str) -> None:
    """Caffe: exp_layer.cpp multiplies by base^shift, here infinite: 128 NaN, and 52 NaN with 76 infinities."""
    model = caffe_fuse.load(FINDS / find / "net.prototxt", FINDS / find / "net.caffemodel")
    (top,) = caffe_fuse.run(model).values()
    expected = {"exp_overflow": (128, 0), "exp_overflow_bn": (52, 76)}[find]
    assert expected == (int(np.isnan(top).sum()), int(np.isinf(top).sum()))


def test_a_base_of_1_has_no_logarithms() -> None:
    """Caffe: log_layer.cpp LayerSetUp checks that 1/log(base) is finite."""
    with pytest.raises(caffe_fuse.InputError, match="logarithms to base 1 do not exist"):
        caffe_fuse.run(nets.model(nets.text(nets.layer("e", "Log", "x", "e", "log_param { base: 1 }")), None))


def test_a_plan_does_not_read_as_many_numbers_as_the_text_asks_for() -> None:
    """Ten times 2147483000 weights would take minutes."""
    pairs = [
        (
            nets.layer(f"c{place}", "InnerProduct", "x", f"c{place}", "inner_product_param { num_output: 10 }"),
            nets.batch_norm(f"b{place}", f"c{place}", f"b{place}"),
        )
        for place in range(10)
    ]
    net = nets.text(*(line for pair in pairs for line in pair), shape=(1, 2147483, 10, 10))
    with bounded.at_most(10):
        plan = plan_report(nets.model(net, None))
    assert 10 == sum("absorbs b" in line for line in plan)


@pytest.mark.parametrize("type_name", ["Axpy", "Flatten"])
def test_a_bottom_that_is_missing_is_no_matter_of_sizes(type_name: str) -> None:
    """A field that is not understood makes sizes unknown; a layer with too few bottoms is still an error."""
    bottom = 'bottom: "x"' if type_name == "Axpy" else ""
    net = nets.text(f'layer {{ name: "l" type: "{type_name}" {bottom} top: "t" flatten_param {{ mystery: 1 }} }}')
    with pytest.raises(caffe_fuse.InputError, match=r"needs [13] bottoms?, has [01]"):
        nets.model(net, None)


def test_padding_that_no_blob_can_hold_is_an_error_of_the_input() -> None:
    settings = "pooling_param { pool: AVE kernel_size: 30000 pad: 29999 stride: 29999 }"
    model = nets.model(nets.text(nets.layer("p", "Pooling", "x", "p", settings)), None)
    with pytest.raises(caffe_fuse.InputError, match=r"cannot be computed: layer p .* 2x4x59999x59999"):
        caffe_fuse.run(model)


def test_weights_whose_sizes_the_net_does_not_tell_have_to_fit_the_groups() -> None:
    net = nets.text(
        nets.layer("m", "Mystery", "x", "m"),
        nets.layer("d", "Deconvolution", "m", "d", "convolution_param { num_output: 4 group: 2 kernel_size: 1 }"),
    )
    weights = nets.caffemodel(net, {"d": [np.ones((1, 2, 1, 1), np.float32), np.ones(4, np.float32)]})
    with pytest.raises(caffe_fuse.InputError, match=r"net\.prototxt:4:1: layer d .*shape 1x2x1x1 do not fit"):
        nets.model(net, weights)


@pytest.mark.parametrize("stored", [np.float32(1), np.ones(1, np.float32)])
def test_one_number_for_more_channels_is_refused(stored: np.ndarray) -> None:
    """After a field that is not understood sizes are in doubt; Caffe would stop at a Scale of one element."""
    net = nets.text(
        nets.convolution(settings="mystery: 1 bias_term: false"),
        nets.scale(bottom="c", rest=""),
    )
    weights = nets.caffemodel(net, {"c": [np.ones((6, 4, 3, 3), np.float32)], "s": [stored]})
    result = caffe_fuse.fuse(nets.model(net, weights))
    (refused,) = result.report.refused
    assert "it has one element, but its bottom, 2x6x3x4, may have more channels" == refused.reason


@pytest.mark.parametrize(("dtype", "largest"), [("float32", 3e38), ("float64", 1.5e308)])
def test_the_mean_of_numbers_whose_sum_overflows_is_told(dtype: str, largest: float) -> None:
    (line,) = run_report({"x": np.full(8, largest, dtype)})
    assert line.endswith(f"mean {largest:g}")


@pytest.mark.parametrize("settings", ["mystery: 2 num_output: 6", "num_output: 6 dilation: 20000 pad: 20000"])
def test_sums_of_weights_that_may_not_fit_or_of_huge_windows_have_no_bound(settings: str) -> None:
    """After a field that is not understood the bottom may have other channels than it seems."""
    net = nets.text(
        nets.batch_norm(bottom="x", top="x"),
        nets.layer("c", "Convolution", "x", "c", f"convolution_param {{ kernel_size: 3 bias_term: false {settings} }}"),
        shape=(1, 4, 40001, 5000),
    )
    blobs = [np.ones(4, np.float32), np.ones(4, np.float32), np.ones(1, np.float32)]
    channels = 2 if "mystery" in settings else 4
    weights = nets.caffemodel(net, {"b": blobs, "c": [np.ones((6, channels, 3, 3), np.float32)]})
    assert () == caffe_fuse.predict(nets.model(net, weights), half_sums=True).sums


def test_no_power_of_two_leads_out_of_float32() -> None:
    """The range that a BatchNorm predicts for 1e9 deviations asks for powers that weights of 3e38 cannot take."""
    net = nets.text(
        nets.convolution(),
        nets.batch_norm(),
        nets.layer("r", "ReLU", "b", "b"),
        nets.layer("p", "InnerProduct", "b", "p", "inner_product_param { num_output: 3 }"),
    )
    blobs = nets.numbers(net)
    blobs["p"][0][1, 7] = -3e38
    result = caffe_fuse.fuse(nets.model(net, nets.caffemodel(net, blobs)), sigmas=1e9)
    assert all(np.isfinite(blob.array()).all() for layer in result.model.net.layers for blob in layer.blobs)
