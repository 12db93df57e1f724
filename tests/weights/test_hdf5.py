"""HDF5 weights: what is read, what is refused, and whether Caffe could read what is written."""

from __future__ import annotations

import io
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence

import h5py
import numpy as np
import pytest
import truth
from caffemodel_bytes import SHAPE, VALUES, field, layer, scan, singles
from hypothesis import given
from hypothesis import strategies as st
from reference.files import read_weights as reference_weights

from caffe_fuse.blobs.blob import CHUNK, FLOAT16, FLOAT32, ArrayBlob, CastBlob
from caffe_fuse.errors import CaffeFuseError, InputError
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.weights import FORMATS, Kept, Rewritten, WeightFile, read_weights
from caffe_fuse.weights.hdf5 import DatasetBlob
from caffe_fuse.weights.records import Absent

NUMBERS = np.array([[1, -2, 3.5], [0, 0.25, 2047]], np.float32)
HDF5 = next(format for format in FORMATS if format.name == "hdf5")
Blobs = Mapping[str, Sequence[np.ndarray]]


def made(fill: Callable[[Any], object], libver: str = "earliest") -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w", libver=libver) as file:
        fill(file)
    return content.getvalue()


def weights_file(blobs: Blobs) -> bytes:
    """Writes HDF5 weights as Caffe's snapshot does."""

    def fill(file: Any) -> None:
        data = file.create_group("data")
        for name, arrays in blobs.items():
            group = data.create_group(name)
            for index, array in enumerate(arrays):
                group.create_dataset(str(index), data=array)

    return made(fill)


def read(content: bytes) -> WeightFile:
    return read_weights(Source(content, "net.h5"))


def only_blob(**options: Any) -> Any:
    return read(made(lambda file: file.create_dataset("data/conv1/0", **options))).layers[0].blobs[0]


def written(plan: Sequence[Any], original: WeightFile) -> bytes:
    """Returns the new file from its pieces, which come in any order; each byte must come once."""
    pieces: Dict[int, bytes] = {}

    def put(offset: int, data: memoryview) -> None:
        if len(data):
            assert offset not in pieces
            pieces[offset] = bytes(data)

    HDF5.write(original, plan, put, lambda blob: blob.chunks())
    content = b""
    for offset in sorted(pieces):
        assert len(content) == offset
        content += pieces[offset]
    return content


def arrays_in(content: bytes) -> Dict[str, Dict[str, np.ndarray]]:
    with h5py.File(io.BytesIO(content), "r") as file:
        return {name: {index: dataset[()] for index, dataset in group.items()} for name, group in file["data"].items()}


class TestRead:
    def test_the_layers_are_those_of_caffes_own_file(self) -> None:
        net = truth.load("format-hdf5")
        found = read_weights(Source(net.folder / "net.caffemodel.h5"))
        assert ["bn1", "conv1", "data", "relu1", "scale1"] == [record.name for record in found.layers]
        assert [3, 1, 0, 0, 2] == [len(record.blobs) for record in found.layers]
        assert ("hdf5", True) == (found.format, found.binds_last)
        stored = {record.name: record.blobs for record in read_weights(Source(net.weights_path)).layers}
        for record in found.layers:
            assert (None, (), ()) == (record.type, record.bottoms, record.tops)
            for ours, other in zip(record.blobs, stored[record.name]):
                assert (ours.shape, ours.array().tolist()) == (other.shape, other.array().tolist())

    def test_a_real_file_is_read_as_h5py_reads_it(self, shared: Path) -> None:
        path = shared / "models" / "cifar10-quick-h5" / "cifar10_quick_iter_5000.caffemodel.h5"
        expected = arrays_in(path.read_bytes())
        found = read_weights(Source(path)).layers
        assert list(expected) == [record.name for record in found]
        for record in found:
            assert [expected[record.name][str(place)].tolist() for place in range(len(record.blobs))] == [
                blob.array().tolist() for blob in record.blobs
            ]

    @pytest.mark.parametrize("libver", ["earliest", "latest"])
    @pytest.mark.parametrize(
        ("stored", "read_as", "options"),
        [
            ("<f2", "float16", {}),
            ("<f4", "float32", {}),
            ("<f8", "float64", {}),
            (">f2", "float16", {}),
            (">f4", "float32", {}),
            (">f8", "float64", {}),
            ("<i2", "float64", {}),
            (">i8", "float64", {}),
            ("u1", "float64", {}),
            ("<f4", "float32", {"chunks": (1, 2)}),
            ("<f2", "float16", {"chunks": (2, 3), "compression": "gzip", "shuffle": True}),
            ("<f4", "float32", {"chunks": (1, 3), "maxshape": (None, 3), "fletcher32": True}),
        ],
    )
    def test_numbers_of_any_type_and_layout_are_read(
        self, libver: str, stored: str, read_as: str, options: Dict[str, Any]
    ) -> None:
        numbers = np.abs(np.rint(NUMBERS)).clip(0, 200) if stored[-2] in "iu" else NUMBERS
        content = made(lambda file: file.create_dataset("data/c/0", data=numbers.astype(stored), **options), libver)
        blob = read(content).layers[0].blobs[0]
        array = blob.array()
        assert (read_as, numbers.tolist()) == (str(array.dtype), array.tolist())
        assert numbers.reshape(-1)[[1, 2, 5]].tolist() == blob.take(np.array([1, 2, 5])).tolist()

    def test_numbers_inside_the_header_are_read(self) -> None:
        def fill(file: Any) -> None:
            settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            settings.set_layout(h5py.h5d.COMPACT)
            group = file.create_group("data/c")
            space = h5py.h5s.create_simple((2, 3))
            dataset = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, settings)
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, NUMBERS)

        assert NUMBERS.tolist() == read(made(fill)).layers[0].blobs[0].array().tolist()

    @pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1, 1, 2, 3)])
    @pytest.mark.parametrize("dtype", ["<f4", ">f4"])
    def test_shapes_come_back(self, shape: Sequence[int], dtype: str) -> None:
        numbers = np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)
        array = only_blob(data=numbers).array()
        assert (numbers.shape, numbers.tolist()) == (array.shape, array.tolist())

    @pytest.mark.parametrize("shape", [(3, CHUNK + 5), (CHUNK * 2 + 1,), (2, 3, 100_000), (700, 600)])
    def test_large_blobs_come_in_chunks_in_their_order(self, shape: Sequence[int]) -> None:
        numbers = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
        blob = only_blob(data=numbers, compression="gzip", compression_opts=1)
        assert isinstance(blob, DatasetBlob)
        chunks = [chunk.copy() for chunk in blob.chunks()]
        assert max(map(len, chunks)) <= CHUNK
        assert np.array_equal(numbers.reshape(-1), np.concatenate(chunks))
        places = np.array([0, 1, CHUNK - 1, CHUNK, numbers.size - 1])
        assert places.tolist() == blob.take(places).tolist()

    def test_no_more_than_a_chunk_is_in_memory(self) -> None:
        content = made(
            lambda file: file.create_dataset("data/c/0", data=np.zeros(1 << 23, np.float32), chunks=(1 << 16,))
        )
        tracemalloc.start()
        try:
            for record in read(content).layers:
                for _ in record.blobs[0].chunks():
                    pass
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

    def test_a_missing_number_is_absent_until_it_is_used(self) -> None:
        content = made(lambda file: file.create_dataset("data/conv1/1", data=NUMBERS))
        absent, stored = read(content).layers[0].blobs
        assert (True, NUMBERS.tolist()) == (isinstance(absent, Absent), stored.array().tolist())
        for use in (absent.array, lambda: absent.take(np.array([0]))):
            with pytest.raises(InputError, match=r"^net\.h5: layer conv1, blob 0: is not in the file"):
                use()

    def test_diff_is_left_alone(self) -> None:
        def fill(file: Any) -> None:
            file.create_dataset("data/conv1/0", data=NUMBERS)
            file["diff/conv1/0"] = h5py.ExternalLink("other.h5", "/data")

        (record,) = read(made(fill)).layers
        assert ("conv1", 1) == (record.name, len(record.blobs))

    @pytest.mark.parametrize("target", ["/data/one/0", "/data/./one//0", "/data/three/0"])
    def test_a_soft_link_inside_data_is_followed(self, target: str) -> None:
        def fill(file: Any) -> None:
            file.create_dataset("data/one/0", data=NUMBERS)
            file["data/three"] = h5py.SoftLink("one")
            file["data/two/0"] = h5py.SoftLink(target)

        for record in read(made(fill)).layers:
            assert NUMBERS.tolist() == record.blobs[0].array().tolist()

    def test_a_name_that_is_no_utf8_comes_back_as_it_was(self) -> None:
        content = made(lambda file: h5py.h5g.create(file.create_group("data").id, b"\xc4\xe3"))
        weights = read(content)
        assert ["\\xc4\\xe3"] == [record.name for record in weights.layers]
        with h5py.File(io.BytesIO(written([Kept(weights.layers[0])], weights)), "r") as file:
            assert [b"\xc4\xe3"] == list(file["data"].id)


def linked(target: Any, name: str = "data/conv1/0") -> Callable[[Any], None]:
    def fill(file: Any) -> None:
        file.create_dataset("data/conv2/0", data=NUMBERS)
        file.create_dataset("outside", data=NUMBERS)
        file[name] = target

    return fill


def declared(shape: Sequence[int], **options: Any) -> Callable[[Any], None]:
    return lambda file: file.create_dataset("data/conv1/0", tuple(shape), np.float32, **options)


def external(file: Any) -> None:
    file.create_dataset("data/conv1/0", (2,), np.float32, external=[("secret.bin", 0, 8)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((2, 3), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "data", (2, 3))
    file.create_virtual_dataset("data/conv1/0", layout)


def reference(file: Any) -> None:
    file.create_dataset("other", data=NUMBERS)
    file.create_dataset("data/conv1/0", data=np.array([file["other"].ref], dtype=h5py.ref_dtype))


def region(file: Any) -> None:
    dataset = file.create_dataset("other", data=NUMBERS)
    file.create_dataset("data/conv1/0", data=np.array([dataset.regionref[:]], dtype=h5py.regionref_dtype))


REFUSED: Dict[str, Any] = {
    "an external link": (linked(h5py.ExternalLink("secret.h5", "/data/conv1/0")), "link to another file"),
    "an external layer": (linked(h5py.ExternalLink("secret.h5", "/data"), "data/conv1"), "link to another file"),
    "external data": (lambda file: file.update(data=h5py.ExternalLink("s.h5", "/data")), "expected a group /data"),
    "a soft link out of data": (linked(h5py.SoftLink("/outside")), "is a link to /outside, outside of the group /data"),
    "a dangling link": (linked(h5py.SoftLink("/data/conv9/0")), "is a link to /data/conv9/0, which does not exist"),
    "a link through numbers": (linked(h5py.SoftLink("/data/conv2/0/1")), "which does not exist"),
    "a link to itself": (linked(h5py.SoftLink("/data/conv1/0")), "which does not exist"),
    "external storage": (external, "is stored in other files or datasets"),
    "a virtual dataset": (virtual, "is stored in other files or datasets"),
    "references": (reference, "holds neither floats nor integers"),
    "region references": (region, "holds neither floats nor integers"),
    "text": (lambda file: file.create_dataset("data/c/0", data=b"text"), "holds neither floats nor integers"),
    "a compound": (lambda file: file.create_dataset("data/c/0", data=np.zeros(2, "f4,f4")), "holds neither floats nor"),
    "no shape": (lambda file: file.create_dataset("data/c/0", data=h5py.Empty("f4")), "has no shape"),
    "a huge shape": (declared((1 << 20, 1 << 20)), "impossible shape"),
    "a huge shape in pieces": (declared((1 << 40,), chunks=(1 << 10,)), "impossible shape"),
    "numbers that were never written": (declared((1 << 20,)), "needs 4194304 bytes of values, but the file holds 0"),
    "pieces that were never written": (declared((1 << 20,), chunks=(1 << 10,)), "but the file holds 0"),
    "pieces that are too large": (declared((1 << 25,), chunks=(1 << 25,)), r"in pieces of 134217728 bytes.*h5repack"),
    "a nested layer": (lambda file: file.create_dataset("data/a/b/0", data=NUMBERS), "cannot read back.*a /.*rename"),
    "another name": (
        lambda file: file.create_dataset("data/a/weights", data=NUMBERS),
        "holds weights, expected blobs 0",
    ),
    "a number with a sign": (lambda file: file.create_dataset("data/a/-1", data=NUMBERS), "holds -1, expected blobs 0"),
    "a huge number": (lambda file: file.create_dataset("data/a/1000000000", data=NUMBERS), "holds 1000000000"),
    "numbers beside the layers": (lambda file: file.create_dataset("data/0", data=NUMBERS), "is not a group of blobs"),
    "inputs of a net": (lambda file: file.create_dataset("data", data=NUMBERS), "is an HDF5 file of inputs"),
    "a solver state": (lambda file: file.create_dataset("learned_net", data=b"net.caffemodel.h5"), "is a solver state"),
    "another program's file": (
        lambda file: file.create_group("model_weights"),
        "expected a group /data, found model_weights",
    ),
    "nothing": (lambda file: None, "expected a group /data, found nothing"),
    "a named type": (lambda file: file.update({"data/c/0": np.dtype("f4")}), "is not a dataset"),
}


class TestRefused:
    @pytest.mark.parametrize("case", REFUSED)
    @pytest.mark.parametrize("libver", ["earliest", "latest"])
    def test_what_leads_out_of_the_file_or_is_no_weights_is_refused(
        self, case: str, libver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        # What the links and the external storage name exists, and could be read.
        for name in ("secret.h5", "s.h5", "other.h5"):
            (tmp_path / name).write_bytes(weights_file({"conv1": [NUMBERS]}))
        (tmp_path / "secret.bin").write_bytes(bytes(8))
        fill, problem = REFUSED[case]
        path = tmp_path / "net.caffemodel.h5"
        path.write_bytes(made(fill, libver))
        with pytest.raises(InputError, match=rf"^{path}: .*{problem}"):
            read_weights(Source(path))

    def test_a_small_file_does_not_become_large_numbers(self) -> None:
        """Data compressed by gzip can be at most 1032 times as large as it looks."""

        def fill(file: Any, count: int) -> None:
            dataset = file.create_dataset("data/c/0", (count,), "f4", chunks=(4096,), compression="gzip")
            dataset[:4096] = np.zeros(4096)

        assert read(made(lambda file: fill(file, 4096))).layers[0].blobs[0].count == 4096
        with pytest.raises(InputError, match=r"needs 67108864 bytes of values, but the file holds \d\d;"):
            read(made(lambda file: fill(file, 1 << 24)))

    def test_a_file_cut_anywhere_is_an_input_error(self) -> None:
        content = weights_file({"conv1": [NUMBERS], "relu": []})
        for length in range(8, len(content), 7):
            with pytest.raises(InputError, match=r"^net\.h5: "):
                read(content[:length])

    @given(st.data())
    def test_damage_is_an_input_error(self, data: st.DataObject) -> None:
        content = bytearray(weights_file({"conv1": [NUMBERS, NUMBERS.astype(">f4")], "relu": []}))
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
        try:
            for record in read(bytes(content)).layers:
                for blob in record.blobs:
                    for _ in blob.chunks():
                        pass
        except CaffeFuseError:
            pass

    @pytest.mark.parametrize("dtype", ["<f4", ">f4"])
    def test_a_file_that_shrinks_before_a_blob_is_used_is_an_input_error(self, tmp_path: Path, dtype: str) -> None:
        path = tmp_path / "net.h5"
        path.write_bytes(weights_file({"conv1": [np.ones(50_000, dtype)]}))
        blob = read_weights(Source(path)).layers[0].blobs[0]
        os.truncate(path, 60_000)
        with pytest.raises(InputError, match=r"net\.h5: .*shrank"):
            blob.array()


BLOBS: Blobs = {
    "ip": [NUMBERS.astype(np.float64), np.ones(2, np.float16)],
    "conv1": [NUMBERS.reshape(2, 3, 1, 1), np.zeros((0, 3), np.float32), np.array(2.5, np.float32)],
    "relu": [],
}


class TestWrite:
    def plan(self) -> List[Any]:
        return [Rewritten(None, name, tuple(map(ArrayBlob, arrays))) for name, arrays in BLOBS.items()]

    def test_h5py_reads_what_was_written(self) -> None:
        content = written(self.plan(), read(weights_file({})))
        found = arrays_in(content)
        assert sorted(BLOBS) == list(found)
        for name, arrays in BLOBS.items():
            assert [str(place) for place in range(len(arrays))] == list(found[name])
            for place, array in enumerate(arrays):
                other = found[name][str(place)]
                assert (array.dtype, array.shape, array.tolist()) == (other.dtype, other.shape, other.tolist())

    def test_the_judge_reads_what_was_written(self) -> None:
        records, is_hdf5 = reference_weights(written(self.plan(), read(weights_file({}))))
        assert is_hdf5
        assert {"conv1": 3, "ip": 2, "relu": 0} == {name: len(blobs) for name, blobs in records}

    def test_the_same_layers_give_the_same_bytes_at_any_time_in_any_order(self) -> None:
        one = written(self.plan(), read(weights_file({})))
        time.sleep(1.1)  # HDF5 counts seconds
        assert one == written(self.plan()[::-1], read(weights_file({})))

    def test_what_is_kept_keeps_its_type(self) -> None:
        arrays = [NUMBERS.astype(dtype) for dtype in ("<f2", "<f4", "<f8", ">f2")]
        weights = read(weights_file({"c": arrays}))
        found = arrays_in(written([Kept(weights.layers[0])], weights))["c"]
        assert ["float16", "float32", "float64", "float16"] == [str(array.dtype) for array in found.values()]
        assert [NUMBERS.tolist()] * 4 == [array.tolist() for array in found.values()]

    def test_an_absent_blob_leaves_its_number_out(self) -> None:
        entry = Rewritten(None, "c", (Absent(""), ArrayBlob(NUMBERS)))
        assert ["1"] == list(arrays_in(written([entry], read(weights_file({}))))["c"])

    def test_of_two_records_with_one_name_the_last_with_numbers_counts(self) -> None:
        blobs = [field(5, singles(numbers)) + SHAPE for numbers in ([8.0] * 6, VALUES)]
        weights = scan(layer("c", blobs[0]) + layer("c", blobs[1]) + layer("c"))
        found = arrays_in(written([*map(Kept, weights.layers)], weights))
        assert {"c": {"0": NUMBERS.tolist()}} == {name: {"0": group["0"].tolist()} for name, group in found.items()}

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("a/b", "layer a/b cannot be written as HDF5: Caffe cannot read back"),
            ("", "''"),
            (".", r"'\.'"),
            ("a\0b", "a"),
        ],
    )
    def test_a_name_that_caffe_could_not_read_back_is_refused_before_anything_is_written(
        self, name: str, problem: str
    ) -> None:
        out: List[int] = []
        with pytest.raises(InputError, match=rf"^net\.h5: .*{problem}.*use --weights-format caffemodel"):
            HDF5.write(
                read(weights_file({})),
                [*self.plan(), Rewritten(None, name, ())],
                lambda offset, _: out.append(offset),
                lambda blob: blob.chunks(),
            )
        assert not out

    def test_the_layout_of_a_large_file_takes_little_memory(self) -> None:
        huge = ArrayBlob(np.broadcast_to(np.float32(0), (1 << 29,)))
        sizes: List[int] = []
        tracemalloc.start()
        try:
            with pytest.raises(Exception, match="yielded 0"):
                HDF5.write(
                    read(weights_file({})),
                    [Rewritten(None, f"c{number}", (huge,)) for number in range(200)],
                    lambda offset, data: sizes.append(offset + len(data)),
                    lambda blob: iter(()),
                )
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
        assert max(sizes) > 200 << 31


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=6).filter("./".__ne__),
        st.lists(st.lists(st.floats(width=32, allow_nan=False), max_size=5), max_size=3),
        max_size=30,
    )
)
def test_what_is_written_is_read(blobs: Dict[str, List[List[float]]]) -> None:
    blobs.pop(".", None)
    entries = [
        Rewritten(None, name, tuple(ArrayBlob(np.array(numbers, np.float32)) for numbers in arrays))
        for name, arrays in blobs.items()
    ]
    found = read(written(entries, read(weights_file({}))))
    assert blobs == {record.name: [blob.array().tolist() for blob in record.blobs] for record in found.layers}


def test_a_cast_blob_is_the_same_numbers_in_another_shape_and_type() -> None:
    cast = CastBlob(ArrayBlob(NUMBERS), FLOAT16, (6, 1))
    assert ((6, 1), FLOAT16) == (cast.array().shape, cast.array().dtype)
    assert VALUES == cast.array().reshape(-1).tolist() == cast.take(np.arange(6)).tolist()
    assert CastBlob(cast, FLOAT32, (6,)).in_type(FLOAT32).array().tolist() == VALUES
