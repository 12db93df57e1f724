"""Weights written in another format or type than that of the input: values and net are the same."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import h5py
import nets
import numpy as np
import pytest
import truth
from caffemodel_bytes import field, layer, singles
from conftest import TESTS
from hypothesis import given
from nets import hdf5
from reference import run
from reference.files import message_class, read_net, read_weights
from strategies_nets import nets as any_nets

import caffe_fuse
from caffe_fuse.blobs.blob import FLOAT16, ArrayBlob
from caffe_fuse.blobs.scaled import ScaledBlob
from caffe_fuse.cli import process as cli
from caffe_fuse.folding.save import prove_written, rendered
from caffe_fuse.weights import FORMATS

CONVERTED = truth.names()
UPGRADED = TESTS / "data" / "caffe_upgrade"  # old nets, and what Caffe's own tools made of them
Arrays = Dict[str, List[np.ndarray]]


def saved(result: caffe_fuse.Result, folder: Path, name: str = "out", **options: Any) -> Tuple[bytes, bytes]:
    """Saves a result; returns the prototxt and the weights."""
    weights, prototxt = result.save(str(folder / name), **options)
    return Path(prototxt).read_bytes(), Path(weights).read_bytes()


def loaded(folder: Path, prototxt: bytes, weights: bytes) -> caffe_fuse.Model:
    (folder / "in.prototxt").write_bytes(prototxt)
    (folder / "in.weights").write_bytes(weights)
    return caffe_fuse.load(folder / "in.prototxt", folder / "in.weights")


def converted(folder: Path, prototxt: bytes, weights: bytes, **options: Any) -> Tuple[bytes, bytes]:
    result = caffe_fuse.fuse(loaded(folder, prototxt, weights), half_policy="off", allow_bn=True, **options)
    return saved(result, folder)


def datasets(content: bytes) -> Dict[str, Dict[int, np.ndarray]]:
    with h5py.File(io.BytesIO(content), "r") as file:
        return {
            name: {int(place): dataset[()] for place, dataset in group.items()} for name, group in file["data"].items()
        }


def parsed(content: bytes) -> Any:
    return message_class("NetParameter").FromString(content)


class TestRoundTrip:
    @pytest.mark.parametrize("name", CONVERTED)
    def test_a_net_through_hdf5_has_the_same_numbers_and_answers(self, name: str, tmp_path: Path) -> None:
        net = truth.load(name)
        model = caffe_fuse.load(net.prototxt_path, net.weights_path)
        prototxt, expected = saved(caffe_fuse.fuse(model, half_policy="off", allow_bn=True), tmp_path)
        _, through = converted(tmp_path, net.prototxt, net.weights, weights_format="hdf5")
        assert through.startswith(b"\x89HDF")
        folded = loaded(tmp_path, prototxt, through)
        again = caffe_fuse.fuse(folded, half_policy="off", weights_format="caffemodel", allow_bn=True)
        _, back = saved(again, tmp_path)
        assert self.numbers(expected) == self.numbers(back)
        answers = run(prototxt, expected, net.inputs)
        for blob, value in run(prototxt, through, net.inputs).items():
            assert np.array_equal(answers[blob], value, equal_nan=True), blob

    @staticmethod
    def numbers(weights: bytes) -> Dict[str, Any]:
        """Returns type, shape and values of each blob, by the judge's reader."""
        return {
            name: [(str(blob.numbers.dtype), blob.shape, blob.numbers.tolist()) for blob in blobs.values()]
            for name, blobs in read_weights(weights)[0]
            if blobs
        }

    @given(any_nets())
    def test_any_net_gives_the_same_groups_as_caffemodel_and_as_hdf5(self, prototxt: bytes) -> None:
        blobs = nets.numbers(prototxt)
        result = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, blobs)), weights_format="hdf5")
        first = planned_bytes(result)
        result = caffe_fuse.fuse(nets.model(rendered(result.model, result.options), first), weights_format="hdf5")
        assert () == result.facts.progress.rewrites
        assert first == planned_bytes(result)

    def test_a_caffemodel_from_hdf5_is_the_same_net_as_the_prototxt(self, tmp_path: Path) -> None:
        """Read alone: every layer with its type, bottoms, tops, phase and parameters, in their order."""
        for name in CONVERTED:
            net = truth.load(name)
            prototxt, through = converted(tmp_path, net.prototxt, net.weights, weights_format="hdf5")
            _, back = converted(tmp_path, prototxt, through, weights_format="caffemodel")
            expected, found = read_net(prototxt), parsed(back)
            assert expected.name == found.name
            wanted = [each for each in expected.layer if nets.is_included(each, "TEST", 0, ())]
            if expected.input and (expected.input_shape or expected.input_dim):
                first = found.layer[0]
                assert ("input", "Input", list(expected.input)) == (first.name, first.type, list(first.top))
                dims = [list(shape.dim) for shape in expected.input_shape] or [list(expected.input_dim)]
                assert dims == [list(shape.dim) for shape in first.input_param.shape]
                del found.layer[0]
            for each in found.layer:
                del each.blobs[:]
            for each in wanted:
                del each.blobs[:]
                each.phase = 1
            assert wanted == list(found.layer), name

    @pytest.mark.parametrize("name", ["v0-net", "v1-net"])
    def test_a_caffemodel_from_hdf5_of_an_old_net_is_what_caffes_tools_made_of_it(
        self, name: str, tmp_path: Path
    ) -> None:
        """The text keeps its old form; the caffemodel is V2, as every Caffe writes it, whatever the form of the net."""
        prototxt, weights = ((UPGRADED / f"{name}.{ending}").read_bytes() for ending in ("prototxt", "caffemodel"))
        through = converted(tmp_path, prototxt, weights, weights_format="hdf5")
        same, back = converted(tmp_path, *through, weights_format="caffemodel")
        assert prototxt == same
        expected, found = parsed((UPGRADED / f"{name}.upgraded.caffemodel").read_bytes()), parsed(back)
        assert self.flat(expected) == self.flat(found)
        for each in (*expected.layer, *found.layer):
            del each.blobs[:]
            each.phase = 1
        # Only layers that take part are in a file that Caffe itself writes (net.cpp ToProto).
        assert [each for each in expected.layer if nets.is_included(each, "TEST", 0, ())] == list(found.layer)

    @pytest.mark.parametrize("format", ["caffemodel", "hdf5"])
    @pytest.mark.parametrize("text", ["{}", "{}.upgraded"])
    @pytest.mark.parametrize("name", ["v0-net", "v1-net"])
    def test_old_weights_under_either_text_give_what_caffe_recorded(
        self, name: str, text: str, format: str, tmp_path: Path
    ) -> None:
        prototxt = (UPGRADED / f"{text.format(name)}.prototxt").read_bytes()
        weights = (UPGRADED / f"{name}.caffemodel").read_bytes()
        recorded: Dict[str, np.ndarray] = dict(np.load(UPGRADED / f"{name}.npz"))
        inputs = {key[3:]: array for key, array in recorded.items() if key.startswith("in:")}
        found = run(*converted(tmp_path, prototxt, weights, weights_format=format), inputs)
        for key, array in recorded.items():
            if key.startswith("out:"):
                assert truth.largest_error(array, found[key[4:]]) <= 4 * truth.ulp(float(np.abs(array).max()))

    @staticmethod
    def flat(net: Any) -> Dict[str, List[List[float]]]:
        return {each.name: [list(blob.data) for blob in each.blobs] for each in net.layer if each.blobs}

    def test_layers_of_another_phase_with_weights_keep_them_and_their_rules(self, tmp_path: Path) -> None:
        rule = "include { phase: TRAIN }"
        settings = "inner_product_param { num_output: 1 }"
        prototxt = nets.text(
            nets.convolution(settings="bias_term: false"),
            nets.layer("d", "Dropout", "c", "d", rule),
            nets.layer("t", "InnerProduct", "c", "t", f"{settings} {rule}"),
        )
        blobs = {"c": {0: nets.spread((6, 4, 3, 3), 1)}, "t": {0: nets.spread((1, 72), 2)}, "gone": {0: np.ones(2)}}
        _, back = converted(tmp_path, prototxt, hdf5(blobs), weights_format="caffemodel")
        found = parsed(back).layer
        assert [("input", 0), ("c", 1), ("t", 1), ("gone", 1)] == [(each.name, len(each.blobs)) for each in found]
        assert (0, 1) == (found[2].include[0].phase, found[2].inner_product_param.num_output)
        assert [1.0, 1.0] == list(found[3].blobs[0].double_data)


def planned_bytes(result: caffe_fuse.Result) -> bytes:
    from caffe_fuse.emit.formats import planned

    weights = result.model.weights
    assert weights is not None
    original, entries = planned(
        result.model, weights, prune=False, format=result.options.weights_format, blob_type=result.options.blob_type
    )
    content: Dict[int, bytes] = {}

    def put(place: int, data: memoryview) -> None:
        if len(data):
            content[place] = bytes(data)

    writer = next(format for format in FORMATS if format.name == result.options.weights_format)
    writer.write(original, entries, put, lambda blob: blob.chunks())
    return b"".join(content[place] for place in sorted(content))


class TestShared:
    """A conv whose Scale folds away, and a lone Scale after the ReLU that shares gamma with it."""

    GAMMA = 'param { name: "g" } '
    PROTOTXT = nets.text(
        nets.convolution(settings="bias_term: false"),
        nets.scale("s1", "c", "s1", GAMMA),
        nets.layer("r", "ReLU", "s1", "r"),
        nets.scale("s2", "r", "s2", GAMMA),
        nets.layer("r3", "ReLU", "s2", "r3"),
        nets.scale("s3", "r3", "s3", GAMMA + "scale_param { bias_term: true }"),
    )
    WEIGHTS, SLOPE, SHIFT = nets.spread((6, 4, 3, 3), 1), nets.spread((6,), 2), nets.spread((6,), 3)
    FILE = hdf5({"c": {0: WEIGHTS}, "r": {}, "r3": {}, "s1": {0: SLOPE}, "s2": {}, "s3": {1: SHIFT}})

    def test_shared_numbers_are_read_from_their_owner(self, tmp_path: Path) -> None:
        model = loaded(tmp_path, self.PROTOTXT, self.FILE)
        blobs = {each.name: [blob.array().tolist() for blob in each.blobs] for each in model.net.layers if each.blobs}
        slope = self.SLOPE.tolist()
        assert [[slope], [slope], [slope, self.SHIFT.tolist()]] == [blobs[name] for name in ("s1", "s2", "s3")]

    def test_numbers_of_an_owner_that_is_folded_away_go_to_the_next_one(self, tmp_path: Path) -> None:
        prototxt, weights = converted(tmp_path, self.PROTOTXT, self.FILE)
        found = datasets(weights)
        assert ["c", "r", "r3", "s2", "s3"] == list(found)
        assert {"r": [], "r3": [], "s2": [0], "s3": [1]} == {name: list(found[name]) for name in found if name != "c"}
        assert (self.SLOPE.tolist(), self.SHIFT.tolist()) == (found["s2"][0].tolist(), found["s3"][1].tolist())
        inputs = {"x": nets.spread((2, 4, 5, 6), 9)}
        assert () == truth.compare(self.PROTOTXT, self.FILE, prototxt, weights, inputs).violations

    def test_a_caffemodel_has_a_copy_for_each(self, tmp_path: Path) -> None:
        _, weights = converted(tmp_path, self.PROTOTXT, self.FILE, weights_format="caffemodel")
        found = nets.arrays_of(weights)
        assert [1, 2] == [len(found[name]) for name in ("s2", "s3")]
        assert self.SLOPE.tolist() == found["s2"][0].tolist() == found["s3"][0].tolist()

    def test_from_a_caffemodel_only_the_owner_is_written_with_what_caffe_read_last(self, tmp_path: Path) -> None:
        blobs = {"c": [self.WEIGHTS], "s1": [-self.SLOPE], "s2": [self.SLOPE * 3], "s3": [self.SLOPE, self.SHIFT]}
        content = nets.caffemodel(self.PROTOTXT, blobs)
        model = loaded(tmp_path, self.PROTOTXT, content)
        result = caffe_fuse.fuse(model, keep=["c", "s1"], half_policy="off", weights_format="hdf5")
        found = datasets(saved(result, tmp_path)[1])
        assert {"c": [0], "r": [], "r3": [], "s1": [0], "s2": [], "s3": [1]} == {
            name: list(found[name]) for name in found
        }
        assert self.SLOPE.tolist() == found["s1"][0].tolist()

    def test_shared_numbers_that_no_one_has_are_an_error(self, tmp_path: Path) -> None:
        lost = hdf5({"c": {0: self.WEIGHTS}, "s1": {}, "s2": {}, "s3": {1: self.SHIFT}})
        with pytest.raises(caffe_fuse.InputError, match="layer s3, blob 0: is not in the file, and neither is a layer"):
            loaded(tmp_path, self.PROTOTXT, lost)


class TestNames:
    TWICE = nets.text(
        nets.convolution("same", "x", "c", settings="bias_term: false"),
        nets.layer("same", "Scale", "c", "s"),
    )
    PLAIN = nets.text(nets.convolution("conv/1", settings="bias_term: false"))

    def test_hdf5_binds_to_the_last_layer_of_a_name(self, tmp_path: Path) -> None:
        gamma = nets.spread((6,), 3)
        weights = "blobs { shape { dim: 6 dim: 4 dim: 3 dim: 3 } %s}" % ("data: 1 " * 216)
        prototxt = self.TWICE.replace(b'top: "c" conv', f'top: "c" {weights} conv'.encode(), 1)
        model = loaded(tmp_path, prototxt, hdf5({"same": {0: gamma}}))
        convolution, scale = model.net.layers
        assert (gamma.tolist(), 1.0) == (scale.blobs[0].array().tolist(), convolution.blobs[0].array().max())
        with pytest.raises(caffe_fuse.InputError, match=r"2 layers are named same, .* to the first of them"):
            caffe_fuse.fuse(model, keep=["same"], half_policy="off", weights_format="caffemodel").save(tmp_path / "o")

    def test_a_caffemodel_that_binds_to_the_first_cannot_become_hdf5(self, tmp_path: Path) -> None:
        prototxt = nets.text(nets.convolution("same"), nets.layer("same", "ReLU", "c", "r"))
        content = nets.caffemodel(prototxt, {"same": [nets.spread((6, 4, 3, 3), 1), nets.spread((6,), 2)]})
        with pytest.raises(caffe_fuse.InputError, match=r"in\.prototxt:4:1: 2 layers are named same, .* to the last"):
            converted(tmp_path, prototxt, content, weights_format="hdf5")
        assert converted(tmp_path, prototxt, content) == (prototxt, content)

    def test_a_name_with_a_slash_is_status_2_and_says_why(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        prototxt, weights = tmp_path / "n.prototxt", tmp_path / "n.caffemodel"
        prototxt.write_bytes(self.PLAIN)
        weights.write_bytes(nets.caffemodel(self.PLAIN, nets.numbers(self.PLAIN)))
        status = cli.main(
            ["fuse", str(prototxt), str(weights), "-o", str(tmp_path / "out"), "--weights-format", "hdf5"]
        )
        assert (2, []) == (status, list(tmp_path.glob("*out*")))
        error = capsys.readouterr().err
        assert f"error: {weights}: layer conv/1 cannot be written as HDF5: Caffe cannot read back a layer" in error


class TestShapes:
    def legacy(self, numbers: np.ndarray, *shape: int) -> bytes:
        return b"".join(field(number, size) for number, size in enumerate(shape, 1)) + field(
            5, singles(numbers.ravel())
        )

    def test_legacy_shapes_become_those_of_the_net(self, tmp_path: Path) -> None:
        prototxt = nets.text(
            nets.convolution(), nets.layer("i", "InnerProduct", "c", "i", "inner_product_param { num_output: 2 }")
        )
        kernel, bias = nets.spread((6, 4, 3, 3), 1), nets.spread((6,), 2)
        matrix, shift = nets.spread((2, 72), 3), nets.spread((2,), 4)
        content = layer("c", self.legacy(kernel, 6, 4, 3, 3), self.legacy(bias, 1, 1, 1, 6)) + layer(
            "i", self.legacy(matrix, 1, 1, 2, 72), self.legacy(shift, 1, 1, 1, 2), kind="InnerProduct"
        )
        _, weights = converted(tmp_path, prototxt, content, weights_format="hdf5")
        found = datasets(weights)
        assert [(6, 4, 3, 3), (6,)] == [array.shape for array in found["c"].values()]
        assert [(2, 72), (2,)] == [array.shape for array in found["i"].values()]
        assert (matrix.tolist(), bias.tolist()) == (found["i"][0].tolist(), found["c"][1].tolist())

    def test_what_another_caffe_put_beside_the_numbers_does_not_get_lost(self, tmp_path: Path) -> None:
        prototxt = nets.text(nets.convolution(settings="bias_term: false"))
        numbers = nets.spread((6, 4, 3, 3), 1)
        content = layer("c", self.legacy(numbers, 6, 4, 3, 3) + field(101, 7))
        with pytest.raises(caffe_fuse.InputError, match="blob 0 of layer c has field 101 of another Caffe"):
            converted(tmp_path, prototxt, content, weights_format="hdf5")
        assert (prototxt, content) == converted(tmp_path, prototxt, content, blob_type="float16")

    def test_types_of_untouched_blobs_stay(self, tmp_path: Path) -> None:
        prototxt = nets.text(nets.convolution(settings="bias_term: false"), nets.layer("p", "PReLU", "c", "p"))
        numbers = np.rint(nets.spread((6, 4, 3, 3), 1)).astype("<f2")
        slopes = nets.spread((6,), 2).astype(np.float64) / 3
        prototxt, weights = converted(tmp_path, prototxt, hdf5({"c": {0: numbers}, "p": {0: slopes}}))
        found = datasets(weights)
        assert (np.dtype("<f2"), np.dtype("<f8")) == (found["c"][0].dtype, found["p"][0].dtype)
        _, back = converted(tmp_path, prototxt, weights, weights_format="caffemodel")
        kernel, slope = (each.blobs[0] for each in parsed(back).layer[1:])
        # Few programs that read caffemodels know fp16.
        assert (numbers.ravel().tolist(), slopes.tolist()) == (list(kernel.data), list(slope.double_data))

    def test_numbers_in_the_prototxt_are_in_the_file_as_well(self, tmp_path: Path) -> None:
        """Caffe would stop at a group without them (net.cpp:821)."""
        prototxt = nets.text(
            nets.layer("p", "PReLU", "x", "p", "blobs { shape { dim: 4 } data: 1 data: 2 data: 3 data: 4 }"),
            nets.convolution("c", "p", "c"),
        )
        content = nets.caffemodel(prototxt, {"c": [nets.spread((6, 4, 3, 3), 1), nets.spread((6,), 2)]})
        assert [1, 2, 3, 4] == datasets(converted(tmp_path, prototxt, content, weights_format="hdf5")[1])["p"][
            0
        ].tolist()


class TestHalves:
    NET = nets.text(
        nets.convolution(settings="bias_term: false"), nets.batch_norm(), nets.layer("r", "ReLU", "b", "r"),
        nets.layer("p", "PReLU", "r", "p"), nets.convolution("c2", "p", "c2", settings="group: 2"),
    )  # fmt: skip

    def test_a_new_number_is_the_exact_value_rounded_once(self, tmp_path: Path) -> None:
        """w * s lies just above the midpoint of two fp16 values, and float32 would round it to the midpoint."""
        prototxt = nets.text(nets.convolution(settings="bias_term: false"), nets.scale(bottom="c"))
        weights = np.full((6, 4, 3, 3), 1 + 2**-11, np.float32)
        blobs: Arrays = {"c": [weights], "s": [np.full(6, 1, np.float32), np.zeros(6, np.float32)]}
        model = loaded(tmp_path, prototxt, nets.caffemodel(prototxt, blobs))
        (rewrite,) = caffe_fuse.fuse(model, half_policy="off").facts.progress.rewrites
        kernel, bias = rewrite.after.blobs
        assert isinstance(kernel, ScaledBlob)
        above = ScaledBlob(kernel.base, kernel.layout, np.full(6, 1 + 2**-40))
        assert {1.0} == set(kernel.in_type(FLOAT16).array().ravel().tolist())
        assert {1 + 2**-10} == set(above.in_type(FLOAT16).array().ravel().tolist())
        assert {1.0} == set(above.array().astype(np.float16).ravel().tolist())  # rounded twice
        assert [1 + 2**-10] == above.in_type(FLOAT16).take(np.array([7])).tolist()
        assert isinstance(bias, ArrayBlob)
        exact = ArrayBlob(np.array([1 + 2**-11 + 2**-40]), bias.dtype)
        assert (1 + 2**-10, 1.0) == (exact.in_type(FLOAT16).array()[0], float(np.float16(exact.array()[0])))

    def test_weight_layers_are_halves_and_others_are_not(self, tmp_path: Path) -> None:
        content = nets.caffemodel(self.NET, nets.numbers(self.NET))
        _, weights = converted(tmp_path, self.NET, content, blob_type="float16")
        for each in parsed(weights).layer:
            kinds = [(blob.raw_data_type, len(blob.data), blob.HasField("raw_data")) for blob in each.blobs]
            expected = {"p": [(0, 4 + 2, False)]}.get(each.name, [(2, 0, True)] * 2)
            assert (expected if each.blobs else []) == kinds
        _, stored = converted(tmp_path, self.NET, content, blob_type="float16", weights_format="hdf5")
        found = datasets(stored)
        assert [{"<f2"}, {"<f2"}, {"<f4"}] == [
            {array.dtype.str for array in found[name].values()} for name in ("c", "c2", "p")
        ]

    def test_the_halves_are_those_of_the_folded_float32_numbers(self, tmp_path: Path) -> None:
        content = nets.caffemodel(self.NET, nets.numbers(self.NET))
        _, wide = converted(tmp_path, self.NET, content)
        _, narrow = converted(tmp_path, self.NET, content, blob_type="float16")
        halves = dict(read_weights(narrow)[0])
        for name, blobs in read_weights(wide)[0]:
            for place, blob in blobs.items():
                dtype = np.float32 if name == "p" else np.float16
                assert blob.numbers.astype(dtype).tolist() == halves[name][place].numbers.tolist()

    def test_float32_leaves_no_fp16_and_the_values_are_those_that_were_stored(self, tmp_path: Path) -> None:
        content = nets.caffemodel(self.NET, nets.numbers(self.NET))
        prototxt, narrow = converted(tmp_path, self.NET, content, blob_type="float16")
        _, wide = converted(tmp_path, prototxt, narrow, blob_type="float32")
        for record in message_class("NetParameter").FromString(wide).layer:
            for blob in record.blobs:
                assert (b"", np.prod(blob.shape.dim)) == (blob.raw_data, len(blob.data))
        expected = {
            each.name: [blob.array().tolist() for blob in each.blobs]
            for each in nets.model(prototxt, narrow).net.layers
        }
        found = {
            each.name: [blob.array().tolist() for blob in each.blobs] for each in nets.model(prototxt, wide).net.layers
        }
        assert expected == found
        assert (prototxt, wide) == converted(tmp_path, prototxt, wide, blob_type="float32")
        assert (prototxt, narrow) == converted(tmp_path, prototxt, narrow)

    def test_a_half_stays_as_it_is(self, tmp_path: Path) -> None:
        content = nets.caffemodel(self.NET, nets.numbers(self.NET))
        prototxt, once = converted(tmp_path, self.NET, content, blob_type="float16")
        assert (prototxt, once) == converted(tmp_path, prototxt, once, blob_type="float16")
        assert (prototxt, once) == converted(tmp_path, prototxt, once)

    @pytest.mark.parametrize("value", [65520.0, -1e30, np.inf, np.nan])
    @pytest.mark.parametrize("place", [0, 1])
    @pytest.mark.parametrize("force", [False, True])
    def test_what_a_half_cannot_hold_stops_it(self, value: float, place: int, force: bool, tmp_path: Path) -> None:
        prototxt = nets.text(nets.convolution())
        arrays = [nets.spread((6, 4, 3, 3), 1), nets.spread((6,), 2)]
        arrays[place].reshape(-1)[3] = value
        model = loaded(tmp_path, prototxt, nets.caffemodel(prototxt, {"c": arrays}))
        result = caffe_fuse.fuse(model, half_policy="off", blob_type="float16")
        assert (False, 1) == (result.safe, result.report.status)
        with pytest.raises(caffe_fuse.UnsafeResult, match=r"float16 cannot hold .*\(first: c\); save it as float32"):
            result.save(tmp_path / "out", force=force)
        assert [] == list(tmp_path.glob("*out*"))

    def test_the_largest_number_that_a_half_holds_is_written(self, tmp_path: Path) -> None:
        prototxt = nets.text(nets.convolution(settings="bias_term: false"))
        numbers = np.full((6, 4, 3, 3), 65519, np.float32)
        content = nets.caffemodel(prototxt, {"c": [numbers]})
        _, weights = converted(tmp_path, prototxt, content, blob_type="float16")
        assert {65504.0} == set(read_weights(weights)[0][0][1][0].numbers.tolist())

    def test_large_numbers_elsewhere_do_not_stop_it(self, tmp_path: Path) -> None:
        blobs = nets.numbers(self.NET)
        blobs["p"] = [np.full(6, 1e6, np.float32)]
        converted(tmp_path, self.NET, nets.caffemodel(self.NET, blobs), blob_type="float16")

    @pytest.mark.parametrize("weights_format", ["caffemodel", "hdf5"])
    def test_the_proof_sees_a_half_that_is_a_unit_off(self, weights_format: Any, tmp_path: Path) -> None:
        model = loaded(tmp_path, self.NET, nets.caffemodel(self.NET, nets.numbers(self.NET)))
        result = caffe_fuse.fuse(model, half_policy="off", blob_type="float16", weights_format=weights_format)
        path, _ = result.save(tmp_path / "out")
        prove_written(result.facts, path)
        content = bytearray(Path(path).read_bytes())
        halves = result.model.net.layers[0].blobs[0].in_type(FLOAT16).array()
        start = bytes(content).index(halves.tobytes())
        wrong = halves + np.float16(2) * np.spacing(halves)
        content[start : start + wrong.nbytes] = wrong.tobytes()
        Path(path).write_bytes(content)
        with pytest.raises(caffe_fuse.InternalError, match="the proof of layer c failed"):
            prove_written(result.facts, path)


class TestOpenCV:
    """OpenCV 4, whose shrinkCaffeModel defines the form of fp16 weights."""

    @pytest.mark.parametrize(
        "name", ["net-resnet-bottleneck", "net-unet", "fold-conv3d", "fold-deconv-g2-bias", "fold-ip"]
    )
    def test_halves_are_what_opencv_makes_of_the_folded_net(self, name: str, tmp_path: Path) -> None:
        cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
        if not hasattr(cv2.dnn, "shrinkCaffeModel"):
            pytest.skip("this OpenCV has no reader for Caffe models")
        net = truth.load(name)
        prototxt, folded = converted(tmp_path, net.prototxt, net.weights)
        (tmp_path / "folded.caffemodel").write_bytes(folded)
        shrunk = tmp_path / "shrunk.caffemodel"
        types = ["Convolution", "InnerProduct", "Deconvolution"]
        cv2.dnn.shrinkCaffeModel(str(tmp_path / "folded.caffemodel"), str(shrunk), types)
        _, ours = converted(tmp_path, prototxt, folded, blob_type="float16")
        assert parsed(shrunk.read_bytes()) == parsed(ours)
        (tmp_path / "ours.caffemodel").write_bytes(ours)
        if name != "fold-conv3d":  # OpenCV's reader divides by zero there
            assert not cv2.dnn.readNetFromCaffe(
                str(tmp_path / "in.prototxt"), str(tmp_path / "ours.caffemodel")
            ).empty()

    def test_a_file_without_fields_out_of_order_is_the_same_byte_for_byte(self, tmp_path: Path) -> None:
        cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
        if not hasattr(cv2.dnn, "shrinkCaffeModel"):
            pytest.skip("this OpenCV has no reader for Caffe models")
        net = truth.load("layer-conv-stride-dilation")
        cv2.dnn.shrinkCaffeModel(str(net.weights_path), str(tmp_path / "shrunk.caffemodel"))
        _, ours = converted(tmp_path, net.prototxt, net.weights, blob_type="float16")
        assert (tmp_path / "shrunk.caffemodel").read_bytes() == ours


class TestCommand:
    def test_formats_and_types_are_options(self, tmp_path: Path) -> None:
        net = truth.load("format-hdf5")
        arguments = ["fuse", "-q", str(net.prototxt_path), str(net.folder / "net.caffemodel.h5"), "-o"]
        assert 0 == cli.main([*arguments, str(tmp_path / "one")])
        assert 0 == cli.main([*arguments, str(tmp_path / "two.caffemodel.h5"), "--blob-type", "float16"])
        assert 0 == cli.main([*arguments, str(tmp_path / "three"), "--weights-format", "caffemodel"])
        assert 2 == cli.main([*arguments, str(tmp_path / "four"), "--weights-format", "onnx"])
        names = sorted(path.name for path in tmp_path.iterdir())
        files = ("one.caffemodel.h5", "one.prototxt", "three.caffemodel", "three.prototxt", "two.caffemodel.h5")
        assert [*files, "two.prototxt"] == names
        assert ["<f4", "<f2"] == [
            datasets((tmp_path / f"{name}.caffemodel.h5").read_bytes())["conv1"][0].dtype.str for name in ("one", "two")
        ]

    @pytest.mark.parametrize("name", ["weights_format", "blob_type"])
    def test_what_there_is_not_is_an_input_error(self, name: str) -> None:
        options: Dict[str, Any] = {name: "float8"}
        prototxt = nets.text(nets.convolution())
        with pytest.raises(
            caffe_fuse.InputError, match=f"{name.replace('_', ' ')} float8 is not known.*; choose from "
        ):
            caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt))), **options)

    def test_the_format_stays_what_it_was(self) -> None:
        formats: List[Optional[str]] = []
        net = truth.load("format-hdf5")
        for weights in (net.weights_path, net.folder / "net.caffemodel.h5"):
            formats.append(caffe_fuse.fuse(caffe_fuse.load(net.prototxt_path, weights)).options.weights_format)
        assert ["caffemodel", "hdf5"] == formats
