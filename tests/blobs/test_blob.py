from __future__ import annotations

import itertools
import os
import tracemalloc
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse.blobs import blob as blob_module
from caffe_fuse.blobs.blob import FLOAT16, FLOAT32, FLOAT64, ArrayBlob, Blob, Span, StoredBlob
from caffe_fuse.blobs.scaled import Layout, ScaledBlob
from caffe_fuse.errors import InputError, InternalError
from caffe_fuse.protobuf.wire import Source

CHUNK = blob_module.CHUNK
SMALL = 7
DTYPES = (FLOAT16, FLOAT32, FLOAT64)


@pytest.fixture(scope="module", autouse=True)
def _small_chunks() -> Iterator[None]:
    """Makes chunks small, so that their edges fall everywhere in small blobs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blob_module, "CHUNK", SMALL)
        yield


def stored(numbers: np.ndarray, pieces: Sequence[Tuple[int, int]]) -> StoredBlob:
    """Stores the values in pieces of (length, bytes between two values), with other bytes around each piece."""
    content, spans, first = b"", [], 0
    for length, gap in pieces:
        content += b"\xee" * 3
        spans.append(Span(len(content), length, numbers.itemsize + gap))
        part = numbers.ravel()[first : first + length]
        content += (b"\xdd" * gap).join(number.tobytes() for number in part)
        first += length
    return StoredBlob(Source(content), spans, numbers.dtype, numbers.shape)


def scaled_one_by_one(numbers: np.ndarray, layout: Layout, factors: np.ndarray) -> List[float]:
    """Returns what a ScaledBlob holds, from the definition of a layout."""
    result = []
    places = itertools.product(*(range(size) for size in layout))
    for number, (group, _, output, _) in zip(numbers.ravel(), places):
        result.append(float(np.float32(np.float64(number) * factors[group * layout.outputs + output])))
    return result


def factors_of(layout: Layout) -> np.ndarray:
    """Returns distinct factors whose products with small integers are not float32 values."""
    return np.array([1 / (3 + channel) for channel in range(layout.channels)])


layouts = st.builds(Layout, *(st.integers(1, 4) for _ in range(4)))
pieces = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3)), min_size=1, max_size=6)
dtypes = st.sampled_from(DTYPES)


@given(pieces, dtypes)
def test_numbers_in_any_pieces_of_a_source_come_in_order(found: Sequence[Tuple[int, int]], dtype: np.dtype) -> None:
    numbers = np.arange(1, 1 + sum(length for length, _ in found)).astype(dtype)
    array = stored(numbers, found).array()
    assert (numbers.tolist(), dtype) == (array.tolist(), array.dtype)


def test_chunks_are_full_but_for_the_last_and_never_empty() -> None:
    numbers = np.arange(16, dtype=FLOAT32)
    assert [len(chunk) for chunk in stored(numbers, [(16, 0)]).chunks()] == [7, 7, 2]
    assert [len(chunk) for chunk in ArrayBlob(numbers).chunks()] == [7, 7, 2]
    assert list(StoredBlob(Source(b""), [], FLOAT32, (0, 3)).chunks()) == []


@given(found=pieces, dtype=dtypes, data=st.data())
def test_elements_are_taken_by_their_flat_index(
    found: Sequence[Tuple[int, int]], dtype: np.dtype, data: st.DataObject
) -> None:
    numbers = np.arange(1, 1 + sum(length for length, _ in found)).astype(dtype)
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, len(numbers) - 1)))), np.int64)
    for blob in (stored(numbers, found), ArrayBlob(numbers)):
        taken = blob.take(wanted)
        assert ([float(numbers[index]) for index in wanted], FLOAT64) == (taken.tolist(), taken.dtype)


def test_only_chunks_with_wanted_elements_are_read(tmp_path: Path) -> None:
    numbers = np.arange(70, dtype=FLOAT32)
    path = tmp_path / "numbers"
    path.write_bytes(numbers.tobytes())
    blob = StoredBlob(Source(path), [Span(0, 70, 4)], FLOAT32, (70,))
    os.truncate(path, 5 * SMALL * 4)
    assert blob.take(np.array([3, 20, 34])).tolist() == [3.0, 20.0, 34.0]
    with pytest.raises(InputError, match="shrank"):
        blob.take(np.array([3, 35]))


def test_a_scalar_blob_has_the_shape_of_no_axes() -> None:
    blob = stored(np.array(2.5, FLOAT32), [(1, 0)])
    assert (blob.shape, blob.count, blob.array().item()) == ((), 1, 2.5)
    assert blob.array().shape == ()


def test_numbers_that_do_not_fill_the_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"net: layer a, blob 1: holds 5 elements, but its shape \[2, 3\] needs 6"):
        StoredBlob(Source(bytes(20)), [Span(0, 5, 4)], FLOAT32, (2, 3), where="net: layer a, blob 1")


def test_a_blob_without_numbers_is_refused_when_it_is_used() -> None:
    blob = StoredBlob(Source(b""), [], FLOAT32, (2, 3), where="net: layer a, blob 1", missing="holds nothing")
    assert blob.count == 6
    for use in (blob.array, lambda: blob.take(np.array([0])), lambda: next(blob.chunks())):
        with pytest.raises(InputError, match=r"net: layer a, blob 1: holds nothing"):
            use()


def test_an_array_blob_is_a_copy() -> None:
    numbers = np.array([[1, 2], [3, 4]], FLOAT32)
    blob = ArrayBlob(numbers)
    numbers[0, 0] = 9
    assert blob.array().tolist() == [[1, 2], [3, 4]]


def test_an_array_blob_of_one_repeated_number_takes_no_memory() -> None:
    huge = ArrayBlob(np.broadcast_to(np.float32(3), (1 << 20, 1 << 10, 1 << 10)))
    assert next(huge.chunks()).tolist() == [3.0] * SMALL


def test_blobs_are_hashed_by_identity() -> None:
    numbers = np.array([1, 2], FLOAT32)
    assert len({ArrayBlob(numbers), ArrayBlob(numbers)}) == 2


@given(layouts)
def test_a_layout_says_the_channel_of_each_element(layout: Layout) -> None:
    places = itertools.product(*(range(size) for size in layout))
    expected = [group * layout.outputs + output for group, _, output, _ in places]
    assert expected == layout.channel(np.arange(layout.size)).tolist()


@given(layouts)
def test_a_simplified_layout_gives_the_same_channels(layout: Layout) -> None:
    indices = np.arange(layout.size)
    assert layout.channel(indices).tolist() == layout.simplified().channel(indices).tolist()


@given(layouts, dtypes)
def test_a_scaled_blob_holds_the_rounded_float64_product(layout: Layout, dtype: np.dtype) -> None:
    numbers = (np.arange(1, 1 + layout.size) / 11).astype(dtype)
    factors = factors_of(layout)
    array = ScaledBlob(ArrayBlob(numbers), layout, factors).array()
    assert (scaled_one_by_one(numbers, layout, factors), FLOAT32) == (array.tolist(), array.dtype)


def read_in_threes(blob: Blob) -> Iterator[np.ndarray]:
    array = blob.array()
    return (array.ravel()[first : first + 3] for first in range(0, blob.count, 3))


def test_chunks_may_be_cut_anywhere_in_any_layout() -> None:
    for layout in itertools.starmap(Layout, itertools.product(range(1, 5), repeat=4)):
        numbers = np.arange(1, 1 + layout.size).astype(FLOAT32)
        factors = factors_of(layout)
        blob = ScaledBlob(ArrayBlob(numbers), layout, factors)
        expected = scaled_one_by_one(numbers, layout, factors)
        for read in (Blob.chunks, read_in_threes):
            assert expected == [number for chunk in blob.chunks(read) for number in chunk.tolist()], layout


@given(layouts, st.data())
def test_scaled_elements_are_taken_as_they_would_be_read(layout: Layout, data: st.DataObject) -> None:
    blob = ScaledBlob(ArrayBlob(np.arange(layout.size, dtype=FLOAT32)), layout, factors_of(layout))
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, layout.size - 1)))), np.int64)
    taken = blob.take(wanted)
    assert (blob.array()[wanted].tolist(), FLOAT64) == (taken.tolist(), taken.dtype)


def test_a_scaled_blob_of_a_scaled_blob_rounds_twice() -> None:
    layout = Layout(1, 1, 3, 5)
    numbers = np.arange(1, 16).astype(FLOAT32).reshape(3, 5)
    once = ScaledBlob(ArrayBlob(numbers), layout, np.array([1 / 3, 1 / 7, 1 / 9]))
    expected = scaled_one_by_one(once.array(), layout, np.array([3.0, 5.0, 0.1]))
    assert expected == ScaledBlob(once, layout, np.array([3.0, 5.0, 0.1])).array().ravel().tolist()


def test_products_are_rounded_once() -> None:
    numbers = np.arange(1, 1000).astype(FLOAT32)
    layout, factors = Layout(1, 1, 1, 999), np.array([1 / 3])
    product = ScaledBlob(ArrayBlob(numbers), layout, factors).array().tolist()
    assert scaled_one_by_one(numbers, layout, factors) == product
    assert product != (numbers * FLOAT32.type(1 / 3)).tolist()


def test_products_beyond_float32_are_inf_without_a_warning() -> None:
    numbers = np.array([3e38, -3e38, np.nan, np.inf], FLOAT32)
    blob = ScaledBlob(ArrayBlob(numbers), Layout(1, 1, 4, 1), np.array([10.0, 10.0, 1.0, 0.0]))
    assert [str(number) for number in blob.array()] == ["inf", "-inf", "nan", "nan"]
    assert [str(float(number)) for number in blob.take(np.arange(4))] == ["inf", "-inf", "nan", "nan"]


def test_scaling_keeps_a_legacy_shape_legacy() -> None:
    base = StoredBlob(Source(bytes(8)), [Span(0, 2, 4)], FLOAT32, (1, 1, 1, 2), legacy=True)
    blob = ScaledBlob(base, Layout(1, 1, 2, 1), np.ones(2))
    assert (blob.legacy, blob.shape) == (True, (1, 1, 1, 2))


@pytest.mark.parametrize(("layout", "channels"), [(Layout(1, 1, 3, 2), 3), (Layout(1, 1, 2, 2), 3)])
def test_a_layout_that_does_not_fit_is_an_internal_error(layout: Layout, channels: int) -> None:
    with pytest.raises(InternalError, match="does not fit"):
        ScaledBlob(ArrayBlob(np.zeros(4, FLOAT32)), layout, np.ones(channels))


def test_a_large_blob_is_scaled_in_the_memory_of_a_few_chunks(tmp_path: Path) -> None:
    path = tmp_path / "zeros"
    count = 32 * CHUNK
    path.touch()
    os.truncate(path, 4 * count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blob_module, "CHUNK", CHUNK)
        base = StoredBlob(Source(path), [Span(0, count, 4)], FLOAT32, (512, count // 512))
        blob = ScaledBlob(base, Layout(1, 1, 512, count // 512), np.ones(512))
        tracemalloc.start()
        try:
            assert count == sum(len(chunk) for chunk in blob.chunks())
            assert tracemalloc.get_traced_memory()[1] < 3 * 4 * CHUNK
        finally:
            tracemalloc.stop()
