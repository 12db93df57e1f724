"""The public API: what `import caffe_fuse` offers, and what programs can rely on."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
from truth import FOLDER as TRUTH

import caffe_fuse
from caffe_fuse.folding.save import rendered

BLOCK = TRUTH / "net-resnet-bottleneck"
UNSAFE = TRUTH / "half-weights-last-layer"  # the last layer's weights are too large, BatchNorm or not
TRAINING = TRUTH / "keep-batch-stats"


def load(folder: Path, **options: Any) -> caffe_fuse.Model:
    return caffe_fuse.load(folder / "net.prototxt", folder / "net.caffemodel", **options)


@pytest.fixture(scope="module")
def result() -> caffe_fuse.Result:
    return caffe_fuse.fuse(load(BLOCK))


@pytest.mark.parametrize("name", caffe_fuse.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    public = getattr(caffe_fuse, name)
    assert inspect.getdoc(public)
    assert public.__module__.startswith("caffe_fuse.")


def test_what_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'unheard_of'"):
        _ = caffe_fuse.unheard_of


@pytest.mark.parametrize("name", ["Model", "Result", "Report", "HalfReport", "Activations", "Verification"])
def test_every_public_method_of_a_class_is_documented(name: str) -> None:
    members = {key: value for key, value in vars(getattr(caffe_fuse, name)).items() if not key.startswith("_")}
    bare = [key for key, value in members.items() if callable(value) and not inspect.getdoc(value)]
    assert [] == bare


def test_a_library_call_prints_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, caffe_fuse\n"
        "model = caffe_fuse.load(sys.argv[1], sys.argv[2])\n"
        "result = caffe_fuse.fuse(model)\n"
        "result.save(sys.argv[3])\n"
        "caffe_fuse.check_half(result.model)\n"
    )
    files = [str(BLOCK / "net.prototxt"), str(BLOCK / "net.caffemodel"), str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-W", "error", "-c", program, *files], capture_output=True, text=True)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_the_report_names_what_was_done(result: caffe_fuse.Result) -> None:
    report = result.report
    folded = [(each.layer, [absorbed.layer for absorbed in each.absorbed]) for each in report.folded]
    assert [(f"conv{n}", [f"bn{n}", f"scale{n}"]) for n in ("0", "_s", "_a", "_b", "_c")] == folded
    assert ((), (), {}, (), (), (), ()) == (
        report.converted,
        report.refused,
        report.vanished_blobs,
        report.problems,
        report.next,
        report.batch_norms,
        report.warnings,
    )
    assert 0 == report.status
    assert result.safe


def test_a_fold_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = load(BLOCK)
    caffe_fuse.fuse(model).save(tmp_path / "a")
    caffe_fuse.fuse(model).save(tmp_path / "b")
    assert 5 == sum(layer.type == "BatchNorm" for layer in model.net.layers)
    assert (tmp_path / "a.caffemodel").read_bytes() == (tmp_path / "b.caffemodel").read_bytes()


def test_save_takes_a_path_or_a_string_and_returns_the_two_files(result: caffe_fuse.Result, tmp_path: Path) -> None:
    expected = (str(tmp_path / "out.caffemodel"), str(tmp_path / "out.prototxt"))
    assert expected == result.targets(tmp_path / "out")
    assert expected == result.save(tmp_path / "out") == result.save(str(tmp_path / "out"))
    assert ["out.caffemodel", "out.prototxt"] == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("prefix", ["", "new/", ".", "..", "new/..", Path()], ids=repr)
def test_save_needs_a_name(
    result: caffe_fuse.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: Any
) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(caffe_fuse.InputError, match="has no file name"):
        result.save(prefix)
    assert [tmp_path / "new"] == list(tmp_path.rglob("*"))


def test_an_unsafe_result_is_saved_only_by_force(tmp_path: Path) -> None:
    result = caffe_fuse.fuse(load(UNSAFE))
    assert not result.safe
    with pytest.raises(caffe_fuse.UnsafeResult, match="not finite in half precision") as caught:
        result.save(tmp_path / "out")
    assert 1 == caught.value.exit_status
    assert [] == list(tmp_path.iterdir())
    result.save(tmp_path / "out", force=True)
    assert 2 == len(list(tmp_path.iterdir()))


def test_without_a_half_policy_nothing_is_unsafe(tmp_path: Path) -> None:
    result = caffe_fuse.fuse(load(UNSAFE), half_policy="off")
    assert result.safe
    assert (False, ()) == (result.report.after.policy.checked, result.report.after.rows)


@pytest.mark.parametrize(
    ("folder", "strict", "problem"),
    [
        (TRAINING, ("refused",), "2 layers refused"),
        (TRUTH / "half-variance-overflow", ("flush",), "39 values subnormal or zero in half precision"),
    ],
    ids=["refused", "flush"],
)
def test_strict_makes_more_things_unsafe(folder: Path, strict: Any, problem: str) -> None:
    assert caffe_fuse.fuse(load(folder), allow_bn=True).safe
    (found,) = caffe_fuse.fuse(load(folder), strict=strict, allow_bn=True).report.problems
    assert problem == str(found)


def test_a_batch_norm_that_remains_is_not_safe_unless_it_is_allowed(tmp_path: Path) -> None:
    result = caffe_fuse.fuse(load(TRAINING))
    assert ["1 BatchNorm layer remains: n"] == list(map(str, result.report.problems))
    assert "NOT BN-free: 1 BatchNorm layer remains" == result.report.verdict
    with pytest.raises(caffe_fuse.UnsafeResult, match="1 BatchNorm layer remains"):
        result.save(tmp_path / "out")
    allowed = caffe_fuse.fuse(load(TRAINING), allow_bn=True)
    said = "safe: every value rounds to an fp16 value near it; 1 BatchNorm layer accepted (--allow-bn)"
    assert said == allowed.report.verdict
    allowed.save(tmp_path / "out")
    with pytest.raises(caffe_fuse.InputError, match="contradict"):
        caffe_fuse.fuse(load(TRAINING), allow_bn=True, strict="bn")


def test_batch_statistics_can_be_read_as_stored_ones() -> None:
    result = caffe_fuse.fuse(load(TRAINING), use_global_stats=True)
    assert (["a"], []) == ([each.layer for each in result.report.folded], list(result.report.batch_norms))
    kept = caffe_fuse.fuse(load(TRAINING), use_global_stats=True, keep="a", allow_bn=True)
    assert b"use_global_stats" not in rendered(kept.model, kept.options)  # a Scale now
    left = caffe_fuse.fuse(load(TRAINING), use_global_stats=True, keep="n", allow_bn=True)
    assert b"use_global_stats: false" in rendered(left.model, left.options)  # exactly as it is


def test_a_layer_that_is_kept_stays_and_is_refused(tmp_path: Path) -> None:
    result = caffe_fuse.fuse(load(BLOCK), keep=["bn_a"], allow_bn=True)
    assert [("bn_a", "--keep names it")] == [
        (refused.layer, refused.reason) for refused in result.report.refused if refused.type == "BatchNorm"
    ]
    _, prototxt = result.save(tmp_path / "out")
    kept = '  name: "bn_a"\n  type: "BatchNorm"\n  bottom: "conv_a"\n  top: "conv_a"\n'
    assert kept in Path(prototxt).read_text()


def test_a_name_alone_is_one_name() -> None:
    for names in ("bn_a", ["bn_a"]):
        kept = caffe_fuse.fuse(load(BLOCK), keep=names, keep_blobs="conv_a", strict="refused")
        assert ["bn_a"] == [layer.name for layer in kept.model.net.layers if layer.type == "BatchNorm"]
        assert ["1 BatchNorm layer remains: bn_a", "2 layers refused"] == list(map(str, kept.report.problems))


def test_a_folded_model_can_be_checked_and_folded_again(result: caffe_fuse.Result, tmp_path: Path) -> None:
    again = caffe_fuse.fuse(result.model)
    assert ((), ()) == (again.report.folded, again.report.converted)
    assert caffe_fuse.check_half(result.model) == result.report.after
    result.save(tmp_path / "once")
    again.save(tmp_path / "twice")
    for ending in (".prototxt", ".caffemodel"):
        assert (tmp_path / f"once{ending}").read_bytes() == (tmp_path / f"twice{ending}").read_bytes()


def test_a_layer_prints_without_the_whole_file() -> None:
    assert len(repr(load(BLOCK).net.layers[3])) < 3000


def test_half_of_a_model_is_a_row_for_each_blob() -> None:
    half = caffe_fuse.check_half(load(UNSAFE))
    bad = [row for row in half.rows if not row.stats.safe]
    assert not half.safe
    assert sum(len(layer.blobs) for layer in load(UNSAFE).net.layers) == len(half.rows)
    assert bad
    assert all(row.stats.max_abs > 65504 for row in bad)


BAD_CALLS = {
    "a phase in small letters": (lambda: load(BLOCK, phase="test"), "neither TEST nor TRAIN"),
    "an input that is none": (lambda: load(BLOCK, input_shapes={"x": (1, 3, 8, 8)}), "not an input of the net"),
    "a shape of letters": (lambda: load(BLOCK, input_shapes={"data": "abc"}), "not a valid sequence of sizes"),
    "a size of zero": (lambda: load(BLOCK, input_shapes={"data": (0, 3, 8, 8)}), "not a valid sequence of sizes"),
    "a shape that no weight fits": (lambda: load(BLOCK, input_shapes={"data": (1, 4, 8, 8)}), "8x4x7x7 in the net"),
    "a layer to keep that is none": (lambda: caffe_fuse.fuse(load(BLOCK), keep=["bn9"]), "keep names bn9"),
    "a half policy that is none": (
        lambda: caffe_fuse.fuse(load(BLOCK), half_policy="x"),  # type: ignore[arg-type]
        "choose from off, ieee, flush",
    ),
    "a policy to check by that is none": (lambda: caffe_fuse.check_half(load(BLOCK), half_policy="x"), "choose from"),  # type: ignore[arg-type]
    "a strict word that is none": (
        lambda: caffe_fuse.fuse(load(BLOCK), strict=["x"]),  # type: ignore[list-item]
        "choose from bn, refused, flush",
    ),
    "no weights to fold": (lambda: caffe_fuse.fuse(caffe_fuse.load(BLOCK / "net.prototxt")), "has no weights"),
    "no weights to check": (lambda: caffe_fuse.check_half(caffe_fuse.load(BLOCK / "net.prototxt")), "has no weights"),
    "the weights alone": (lambda: caffe_fuse.load(BLOCK / "net.caffemodel"), "give the .prototxt of the net"),
    "the net twice": (lambda: caffe_fuse.load(*[BLOCK / "net.prototxt"] * 2), "give the .caffemodel"),
    "the weights twice": (lambda: caffe_fuse.load(*[BLOCK / "net.caffemodel"] * 2), "give the .prototxt of the net"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_what_cannot_be_used_is_an_input_error(case: str) -> None:
    call, expected = BAD_CALLS[case]
    with pytest.raises(caffe_fuse.InputError) as caught:
        call()
    assert expected in str(caught.value)
    assert 2 == caught.value.exit_status


def test_an_error_of_the_text_shows_its_place(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text('name: "x"\nlayer { name: "a" type: 7 }\n')
    with pytest.raises(caffe_fuse.TextError) as caught:
        caffe_fuse.load(net)
    assert str(caught.value).startswith(f"{net}:2:25: ")
    assert str(caught.value).endswith('  layer { name: "a" type: 7 }\n                          ^')


@pytest.mark.parametrize("name", ["InputError", "InternalError", "SystemFailure", "TextError", "UnsafeResult"])
def test_all_errors_are_one_family(name: str) -> None:
    assert issubclass(getattr(caffe_fuse, name), caffe_fuse.CaffeFuseError)


@pytest.mark.parametrize("bits", [0x7F800001, 0x7F800000, 0x7F7FFFFF], ids=["signalling-nan", "inf", "largest"])
@pytest.mark.parametrize(
    ("layer", "place"), [("c", 0), ("c", 1), ("b", 0), ("b", 1), ("b", 2), ("s", 0), ("s", 1), ("d", 0)]
)
def test_no_number_makes_the_library_warn(layer: str, place: int, bits: int) -> None:
    """NumPy warns when a conversion changes a signalling NaN, or makes a value infinite."""
    prototxt = nets.text(
        nets.convolution("c", "x", "c"), nets.batch_norm(), nets.scale(), nets.convolution("d", "s", "d")
    )
    blobs, sign = nets.numbers(prototxt), np.float32(98765.4375)
    blobs[layer][place].reshape(-1)[0] = sign
    weights = nets.caffemodel(prototxt, blobs).replace(sign.tobytes(), np.uint32(bits).tobytes())
    model = nets.model(prototxt, weights)
    folded = caffe_fuse.fuse(model, half_sums=True)
    assert [(layer, place)] == [(row.layer, row.blob) for row in folded.report.before.rows if not row.stats.safe]
    caffe_fuse.verify(model, folded.model)
