from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
import pytest
from caffemodel_bytes import (
    ENCODINGS,
    HALVES,
    NUMBERS,
    SHAPE,
    VALUES,
    doubles,
    field,
    layer,
    nets,
    parsed,
    scan,
    singles,
)
from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse.blobs.blob import CHUNK, FLOAT16, FLOAT32, FLOAT64, ArrayBlob, Blob, Reader
from caffe_fuse.blobs.scaled import Layout, ScaledBlob
from caffe_fuse.errors import InputError, InternalError
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.weights import FORMATS, Kept, LayerRecord, Plan, Rewritten, WeightFile, read_weights

PACKED = ENCODINGS["packed"] + SHAPE
BIAS = np.array([0.5, -0.25], np.float32)
CONVOLUTION = field(106, field(1, 2) + field(2, 0) + field(4, 3))
FOREIGN = field(7777, b"vendor") + b"\x83\xe3\x03\x08\x01\x84\xe3\x03"


def written(original: WeightFile, plan: Plan, chunks: Reader = Blob.chunks) -> bytes:
    """Returns the new file from its pieces, which come in any order; each byte must come once."""
    pieces: Dict[int, bytes] = {}

    def put(offset: int, data: memoryview) -> None:
        if len(data):
            assert offset not in pieces
            pieces[offset] = bytes(data)

    FORMATS[0].write(original, plan, put, chunks)
    content = b""
    for offset in sorted(pieces):
        assert len(content) == offset
        content += pieces[offset]
    return content


def same(record: LayerRecord, **changes: Any) -> Rewritten:
    return Rewritten(record, **{"name": record.name, "blobs": record.blobs, **changes})


def only_layer(original: bytes, **changes: Any) -> Any:
    """Returns the only layer of the new file, as protobuf reads it."""
    weights = scan(original)
    return parsed(written(weights, [same(weights.layers[0], **changes)])).layer[0]


class TestKept:
    @given(nets())
    def test_a_file_whose_layers_are_kept_is_the_same(self, net: Any) -> None:
        content = net.SerializeToString()
        weights = scan(content)
        assert content == written(weights, [Kept(record) for record in weights.layers])

    @given(nets())
    def test_a_layer_that_is_rewritten_without_a_change_is_the_same(self, net: Any) -> None:
        content = net.SerializeToString()
        weights = scan(content)
        assert content == written(weights, [same(record) for record in weights.layers])

    def test_what_stands_between_layers_stays_there(self) -> None:
        one, two, three = layer("one", PACKED), layer("two"), layer("three")
        parts = [field(1, b"net"), one, field(9, 5), two, FOREIGN, three, field(6, b"")]
        weights = scan(b"".join(parts))
        plan = [Kept(weights.layers[0]), Kept(weights.layers[2])]
        assert b"".join(part for part in parts if part is not two) == written(weights, plan)

    def test_the_order_of_the_plan_does_not_matter(self) -> None:
        content = layer("one", PACKED) + layer("two")
        weights = scan(content)
        assert content == written(weights, [Kept(record) for record in reversed(weights.layers)])

    def test_an_encoding_that_nobody_changes_stays(self) -> None:
        content = b"".join(layer(name, code + SHAPE) for name, code in ENCODINGS.items())
        weights = scan(content)
        plan = [same(record, tops=("renamed",)) for record in weights.layers]
        expected = [code + SHAPE for code in ENCODINGS.values()]
        new = scan(written(weights, plan))
        assert [("renamed",)] * len(expected) == [record.tops for record in new.layers]
        assert all(code in written(weights, plan) for code in expected)

    def test_real_files_come_out_as_they_are(self, shared: Path) -> None:
        for path in sorted(shared.glob("models/[!n]*/*.caffemodel")):
            content = path.read_bytes()
            weights = read_weights(Source(path))
            plan = [same(record) if record.index % 2 else Kept(record) for record in weights.layers]
            assert content == written(weights, plan), path


class TestRewritten:
    @given(nets(), st.data())
    def test_protobuf_makes_the_same_file_of_the_same_changes(self, net: Any, data: st.DataObject) -> None:
        weights = scan(net.SerializeToString())
        plan: List[Any] = []
        for record, message in zip(weights.layers, net.layer):
            tops = data.draw(st.none() | st.lists(st.sampled_from("xyz"), max_size=2))
            changes: Any = {
                "bottoms": ("b1", "b2"),
                "bias_term": True,
                "blobs": (*record.blobs, ArrayBlob(BIAS)),
            }
            plan.append(same(record, tops=None if tops is None else tuple(tops), **changes))
            message.bottom[:] = ["b1", "b2"]
            message.top[:] = message.top if tops is None else tops
            if message.HasField("convolution_param"):
                message.convolution_param.bias_term = True
            bias = message.blobs.add()
            bias.data.extend(BIAS.tolist())
            bias.shape.dim.append(2)
        assert net == parsed(written(weights, plan))

    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_numbers_of_any_encoding_are_written_as_float32(self, encoding: str) -> None:
        weights = scan(layer("conv1", ENCODINGS[encoding] + SHAPE))
        scaled = ScaledBlob(weights.layers[0].blobs[0], Layout(1, 1, 2, 3), np.array([2.0, 4.0]))
        blob = parsed(written(weights, [same(weights.layers[0], blobs=(scaled,))])).layer[0].blobs[0]
        assert (NUMBERS * [[2], [4]]).ravel().tolist() == list(blob.data)
        assert list(blob.shape.dim) == [2, 3]

    def test_numbers_are_rounded_to_the_type_that_is_written_without_a_warning(self) -> None:
        blob = ArrayBlob(np.array([1 / 3, 1e300, -1e300]), FLOAT32)
        expected = [float(np.float32(1 / 3)), float("inf"), float("-inf")]
        assert expected == list(only_layer(layer("conv1"), blobs=(blob,)).blobs[0].data)

    def test_a_half_is_raw_data_behind_the_shape(self) -> None:
        weights = scan(layer("conv1", PACKED))
        new = written(weights, [same(weights.layers[0], blobs=(weights.layers[0].blobs[0].in_type(FLOAT16),))])
        assert layer("conv1", SHAPE + field(10, 2) + field(12, HALVES)) == new

    def test_a_double_is_double_data_behind_the_shape(self) -> None:
        weights = scan(layer("conv1", PACKED))
        new = written(weights, [same(weights.layers[0], blobs=(ArrayBlob(NUMBERS.astype(np.float64)),))])
        assert layer("conv1", SHAPE + field(8, doubles(VALUES))) == new

    @pytest.mark.parametrize("shape", [(), (1,), (2, 1, 3), (0, 3)])
    def test_shapes_come_back(self, shape: Tuple[int, ...]) -> None:
        numbers = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
        weights = scan(layer("conv1", PACKED))
        new = scan(written(weights, [same(weights.layers[0], blobs=(ArrayBlob(numbers),))]))
        array = new.layers[0].blobs[0].array()
        assert (shape, numbers.tolist()) == (array.shape, array.tolist())

    def test_new_numbers_lie_where_the_old_ones_lay(self) -> None:
        content = layer("conv1", PACKED, more=CONVOLUTION) + field(1, b"net")
        weights = scan(content)
        new = ArrayBlob(-NUMBERS)
        expected = content.replace(singles(VALUES), singles([-value for value in VALUES]))
        assert expected == written(weights, [same(weights.layers[0], blobs=(new,))])

    def test_blobs_can_be_reordered_and_dropped(self) -> None:
        first, second, third = (field(5, singles([number])) for number in (1.0, 2.0, 3.0))
        weights = scan(layer("bn", first, second, third))
        blobs = weights.layers[0].blobs
        plan = [same(weights.layers[0], blobs=(blobs[2], blobs[0]))]
        assert layer("bn", third, first) == written(weights, plan)

    def test_fields_nobody_knows_stay_in_a_changed_layer(self) -> None:
        content = layer("conv1", PACKED, more=FOREIGN + CONVOLUTION)
        weights = scan(content)
        new = written(weights, [same(weights.layers[0], blobs=(ArrayBlob(BIAS),), bias_term=True)])
        assert FOREIGN in new

    def test_bias_term_is_set_beside_what_else_the_parameter_holds(self) -> None:
        changed = only_layer(layer("conv1", more=CONVOLUTION), bias_term=True).convolution_param
        assert (changed.num_output, changed.bias_term, list(changed.kernel_size)) == (2, True, [3])

    def test_bias_term_is_there_once(self) -> None:
        weights = scan(layer("conv1", more=CONVOLUTION))
        expected = layer("conv1", more=field(106, field(1, 2) + field(4, 3) + field(2, 1)))
        assert expected == written(weights, [same(weights.layers[0], bias_term=True)])

    def test_a_parameter_that_is_there_twice_is_merged(self) -> None:
        twice = field(117, field(1, 4) + field(2, 0)) + FOREIGN + field(117, field(1, 5))
        changed = only_layer(layer("ip1", more=twice), bias_term=True)
        assert (changed.inner_product_param.num_output, changed.inner_product_param.bias_term) == (5, True)
        assert not changed.HasField("convolution_param")

    def test_another_type_takes_its_own_parameters_and_keeps_the_conditions(self) -> None:
        conditions = field(8, field(1, 1)) + field(9, field(1, 0)) + field(10, 1) + field(11, 1)
        other = field(6, field(1, b"shared")) + field(139, field(3, 0.5)) + FOREIGN + field(5, 1.0)
        content = layer("bn1", PACKED, kind="BatchNorm", more=conditions + other)
        weights = scan(content)
        scale = field(142, field(4, 1))
        gamma, beta = ArrayBlob(BIAS), ArrayBlob(-BIAS)
        new = same(weights.layers[0], type="Scale", parameters=scale, blobs=(gamma, beta))
        texts = field(1, b"bn1") + field(2, b"Scale") + field(3, b"data") + field(4, b"bn1")
        shape = field(7, field(1, b"\x02"))
        blobs = field(7, field(5, singles(BIAS)) + shape) + field(7, field(5, singles(-BIAS)) + shape)
        assert field(100, texts + conditions + blobs + scale) == written(weights, [new])
        assert parsed(written(weights, [new])).layer[0].scale_param.bias_term

    def test_a_layer_without_a_type_gets_none(self) -> None:
        weights = scan(field(100, field(1, b"conv1")))
        assert field(100, field(1, b"conv1") + field(4, b"t")) == written(
            weights, [same(weights.layers[0], tops=("t",))]
        )

    def test_a_name_that_is_no_utf8_is_written_as_it_was(self) -> None:
        weights = scan(field(100, field(1, b"conv1") + field(3, b"\xc4\xe3")))
        plan = [same(weights.layers[0], bottoms=("x", *weights.layers[0].bottoms))]
        expected = field(100, field(1, b"conv1") + field(3, b"x") + field(3, b"\xc4\xe3"))
        assert expected == written(weights, plan)


class TestLegacyShapes:
    LEGACY = field(1, 1) + field(2, 1) + field(3, 1) + field(4, 2) + field(5, singles([7.0, 8.0]))

    def new_bias(self, *blobs: bytes, shape: Tuple[int, ...]) -> Any:
        weights = scan(layer("conv1", *blobs))
        own = weights.layers[0].blobs
        plan = [same(weights.layers[0], blobs=(own[0], ArrayBlob(BIAS.reshape(shape))))]
        return parsed(written(weights, plan)).layer[0].blobs[1]

    def test_a_padded_shape_is_written_in_the_form_that_allows_it(self) -> None:
        blob = self.new_bias(self.LEGACY, self.LEGACY, shape=(1, 1, 1, 2))
        assert (blob.num, blob.channels, blob.height, blob.width) == (1, 1, 1, 2)
        assert not blob.HasField("shape")

    def test_a_blob_of_fewer_axes_is_in_the_form_of_the_others(self) -> None:
        blob = self.new_bias(self.LEGACY, self.LEGACY, shape=(2,))
        assert (blob.num, blob.channels, blob.height, blob.width) == (1, 1, 1, 2)
        assert not blob.HasField("shape")

    def test_a_blob_of_more_axes_has_a_shape(self) -> None:
        assert list(self.new_bias(self.LEGACY, self.LEGACY, shape=(1, 1, 1, 1, 2)).shape.dim) == [1, 1, 1, 1, 2]

    def test_a_blob_beside_blobs_with_shapes_has_a_shape(self) -> None:
        assert list(self.new_bias(PACKED, PACKED, shape=(1, 1, 1, 2)).shape.dim) == [1, 1, 1, 2]


class TestNewLayers:
    PARAMETERS = field(142, field(4, 1))
    NEW = Rewritten(None, "new", (ArrayBlob(BIAS),), type="Scale", tops=("top",), parameters=PARAMETERS)

    def test_a_new_layer_follows_the_last_one(self) -> None:
        weights = scan(field(1, b"net") + layer("one") + layer("two") + field(6, b""))
        net = parsed(written(weights, [*map(Kept, weights.layers), self.NEW]))
        assert [message.name for message in net.layer] == ["one", "two", "new"]
        new = net.layer[2]
        assert (
            *(new.type, list(new.top), list(new.bottom)),
            new.scale_param.bias_term,
        ) == ("Scale", ["top"], [], True)
        assert BIAS.tolist() == list(new.blobs[0].data)
        assert (net.name, net.HasField("state")) == ("net", True)

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_new_layer_stands_behind_the_one_before_it_in_the_plan(self, place: int) -> None:
        parts = [field(1, b"net"), layer("one", PACKED), field(6, b""), layer("two"), field(9, 1)]
        weights = scan(b"".join(parts))
        for first in (Kept(weights.layers[0]), same(weights.layers[0])):
            plan: List[Any] = [first, Kept(weights.layers[1])]
            plan.insert(place, Rewritten(None, "new", ()))
            expected = list(parts)
            expected.insert((1, 2, 4)[place], field(100, field(1, b"new")))
            assert b"".join(expected) == written(weights, plan)

    def test_in_a_v1_file_it_is_of_v1_too(self) -> None:
        weights = scan(field(2, field(4, b"one") + field(5, 4)))
        new = Rewritten(None, "new", (ArrayBlob(BIAS),), type="Convolution")
        net = parsed(written(weights, [Kept(weights.layers[0]), new]))
        assert [message.name for message in net.layers] == ["one", "new"]
        assert BIAS.tolist() == list(net.layers[1].blobs[0].data)

    def test_a_v1_file_of_which_nothing_is_kept_becomes_v2(self) -> None:
        weights = scan(field(1, b"net") + field(2, field(4, b"one") + field(5, 4) + field(6, PACKED)))
        new = Rewritten(None, "one", weights.layers[0].blobs, type="Convolution")
        net = parsed(written(weights, [new]))
        assert (net.name, [message.name for message in net.layer], len(net.layers)) == ("net", ["one"], 0)
        assert list(net.layer[0].blobs[0].data) == VALUES


class TestV1:
    OLD = field(2, b"data") + field(3, b"conv1") + field(4, b"conv1") + field(5, 4) + field(7, 1.0)

    def test_a_layer_is_changed_in_its_own_form(self) -> None:
        parameter = field(10, field(1, 2) + field(2, 0))
        weights = scan(field(2, self.OLD + parameter + field(6, PACKED)))
        record = weights.layers[0]
        changes: Any = {"bias_term": True, "tops": ("relu1",), "blobs": (*record.blobs, ArrayBlob(BIAS))}
        message = parsed(written(weights, [same(record, type=record.type, **changes)])).layers[0]
        assert (
            *(message.name, message.type, list(message.bottom)),
            list(message.top),
        ) == ("conv1", 4, ["data"], ["relu1"])
        assert (message.convolution_param.num_output, message.convolution_param.bias_term) == (2, True)
        assert [VALUES, BIAS.tolist()] == [list(blob.data) for blob in message.blobs]
        assert list(message.blobs_lr) == [1.0]

    def test_of_another_type_it_has_none_for_v1_has_no_number_for_it(self) -> None:
        weights = scan(field(2, self.OLD + field(10, field(1, 2)) + field(6, PACKED)))
        changes: Any = {"type": "Scale", "parameters": TestNewLayers.PARAMETERS, "blobs": (ArrayBlob(BIAS),)}
        message = parsed(written(weights, [same(weights.layers[0], **changes)])).layers[0]
        names = [described.name for described, _ in message.ListFields()]
        assert (names, list(message.blobs[0].data)) == (["bottom", "top", "name", "blobs"], BIAS.tolist())


class TestV0:
    OLD = field(1, b"conv1") + field(2, b"conv") + field(3, 2) + field(51, 1.0)
    WIRES = field(2, b"data") + field(3, b"conv1")

    def test_a_layer_is_changed_in_its_own_form(self) -> None:
        weights = scan(field(2, self.WIRES + field(1, self.OLD + field(4, 0) + field(50, PACKED)) + FOREIGN))
        record = weights.layers[0]
        changes: Any = {"bias_term": True, "tops": ("relu1",), "blobs": (*record.blobs, ArrayBlob(BIAS))}
        content = written(weights, [same(record, type=record.type, **changes)])
        message = parsed(content).layers[0]
        assert (list(message.bottom), list(message.top)) == (["data"], ["relu1"])
        layer_of_2013 = message.layer
        assert (layer_of_2013.name, layer_of_2013.type, layer_of_2013.biasterm) == ("conv1", "conv", True)
        assert [VALUES, BIAS.tolist()] == [list(blob.data) for blob in layer_of_2013.blobs]
        assert (layer_of_2013.num_output, list(layer_of_2013.blobs_lr)) == (2, [1.0])
        assert content.endswith(FOREIGN)

    def test_a_layer_that_did_not_say_it_says_that_it_has_a_bias(self) -> None:
        weights = scan(field(2, self.WIRES + field(1, self.OLD)))
        message = parsed(written(weights, [same(weights.layers[0], bias_term=True)])).layers[0]
        assert (message.layer.HasField("biasterm"), message.layer.biasterm) == (True, True)

    def test_a_new_layer_is_of_v0_too(self) -> None:
        weights = scan(field(2, self.WIRES + field(1, self.OLD)))
        new = Rewritten(None, "new", (ArrayBlob(BIAS),), type="Convolution")
        messages = parsed(written(weights, [Kept(weights.layers[0]), new])).layers
        assert ["conv1", "new"] == [message.layer.name for message in messages]
        assert BIAS.tolist() == list(messages[1].layer.blobs[0].data)


class TestLong:
    """Pieces that are copied, or come, in several parts."""

    @pytest.mark.parametrize("count", [1 << 16, (1 << 16) + 1, 300_000])
    def test_a_long_layer_that_is_kept_is_the_same(self, count: int) -> None:
        long = layer("long", field(5, singles(np.arange(count))) + field(7, field(1, count)))
        weights = scan(field(1, b"net") + long + layer("short", PACKED))
        new = written(weights, [Kept(weights.layers[0]), same(weights.layers[1], tops=("renamed",))])
        assert field(1, b"net") + long == new[: -len(layer("short", PACKED)) - 2]
        assert ["renamed"] == list(parsed(new).layer[1].top)

    @pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32, FLOAT64])
    def test_numbers_of_several_chunks_follow_each_other(self, dtype: np.dtype) -> None:
        numbers = (np.arange(2 * CHUNK + 5) % 2011).astype(dtype)
        weights = scan(layer("one", PACKED))
        new = scan(written(weights, [same(weights.layers[0], blobs=(ArrayBlob(numbers),))])).layers[0].blobs[0]
        assert dtype == new.dtype
        assert numbers.tobytes() == new.array().tobytes()


class TestLimits:
    def test_the_largest_file_is_one_that_caffe_reads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        weights = scan(layer("conv1", PACKED))
        plan = [Kept(weights.layers[0])]
        monkeypatch.setattr("caffe_fuse.weights.caffemodel_writer.LARGEST_FILE", weights.source.size)
        assert weights.source.size == len(written(weights, plan))
        monkeypatch.setattr("caffe_fuse.weights.caffemodel_writer.LARGEST_FILE", weights.source.size - 1)
        with pytest.raises(InputError, match="but Caffe reads"):
            written(weights, plan)

    def test_a_file_that_caffe_could_not_read_is_refused_before_it_is_written(self) -> None:
        weights = scan(layer("conv1"))
        huge = ArrayBlob(np.broadcast_to(np.float32(0), (1 << 29,)))
        out: List[int] = []
        with pytest.raises(InputError, match=r"would become 21474\d+ bytes, but Caffe reads 2147483647"):
            FORMATS[0].write(
                weights, [same(weights.layers[0], blobs=(huge,))], lambda offset, _: out.append(offset), Blob.chunks
            )
        assert not out

    def test_a_record_of_another_file_is_an_internal_error(self) -> None:
        content = layer("conv1")
        with pytest.raises(InternalError, match=r"layers \['conv1'\] belong to another file"):
            written(scan(content), [Kept(scan(content).layers[0])])

    def test_numbers_that_do_not_all_come_are_an_internal_error(self) -> None:
        weights = scan(layer("conv1"))
        with pytest.raises(InternalError, match="a blob of 2 elements yielded 0"):
            written(weights, [same(weights.layers[0], blobs=(ArrayBlob(BIAS),))], lambda blob: iter(()))

    def test_a_blob_without_numbers_cannot_be_written_anew(self) -> None:
        weights = scan(layer("one", field(6, singles(VALUES)) + SHAPE) + layer("two"))
        plan = [same(weights.layers[1], blobs=weights.layers[0].blobs)]
        with pytest.raises(InputError, match=r"layer one, blob 0: holds gradients"):
            written(weights, plan)


def test_all_numbers_that_are_written_go_through_the_given_reader() -> None:
    weights = scan(layer("one", PACKED) + layer("two", PACKED) + layer("three", PACKED))
    one, two, three = weights.layers
    scaled = ScaledBlob(one.blobs[0], Layout(1, 1, 2, 3), np.array([2.0, 4.0]))
    added = ArrayBlob(BIAS)
    seen: List[Tuple[Blob, List[float]]] = []

    def watched(blob: Blob) -> Iterator[np.ndarray]:
        for chunk in blob.chunks(read=watched):
            seen.append((blob, chunk.tolist()))
            yield chunk

    written(weights, [same(one, blobs=(scaled,)), same(two, blobs=(*two.blobs, added)), Kept(three)], watched)
    product = (NUMBERS * [[2], [4]]).ravel().tolist()
    assert {one.blobs[0]: VALUES, scaled: product, added: BIAS.tolist()} == dict(seen)  # several threads write
    assert 3 == len(seen)
