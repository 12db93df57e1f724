"""The powers of two of some blobs: overflow first, then values that are too small, and 0 if nothing improves."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import pytest

from caffe_fuse.blobs.blob import CHUNK, ArrayBlob
from caffe_fuse.blobs.scaled import Layout
from caffe_fuse.rescale.descent import EXPONENTS, HIGHEST, LOWEST, Block, Descent, Side, cost


def pair(first: float, second: float) -> Tuple[Block, Block]:
    """Returns two matrices with a blob of two channels, groups 1 and 2, between them."""
    ends, middle = np.zeros(2, np.int64), np.array([1, 2])
    rows, columns = Layout(1, 1, 2, 2), Layout(1, 2, 2, 1)
    return (
        Block(ArrayBlob(np.full((2, 2), first)), Side(rows, middle), Side(columns, ends)),
        Block(ArrayBlob(np.full((2, 2), second)), Side(rows, ends), Side(columns, middle)),
    )


def solved(first: float, second: float) -> np.ndarray:
    return Descent(pair(first, second), np.zeros(3, np.int64)).settled([np.array([1, 2])])


def test_an_overflow_moves_to_where_there_is_room() -> None:
    powers = solved(1e6, 1e-6)
    assert powers[0] == 0
    assert powers[1] == powers[2]
    assert 1e6 * 2.0 ** powers[1] < 65504
    assert 1e-6 / 2.0 ** powers[1] > 2.0**-14


def test_where_all_is_in_range_nothing_moves() -> None:
    assert [0, 0, 0] == solved(1.0, 100.0).tolist()


def test_small_numbers_come_up_as_far_as_needed() -> None:
    powers = solved(1e-6, 1.0)
    assert (LOWEST - 1 - np.log2(1e-6) <= powers[1:] + 1).all()
    assert (powers[1:] < 16).all()


@pytest.mark.parametrize("value", [65519.0, 65520.0])
def test_overflow_begins_where_it_does_in_half(value: float) -> None:
    first, _ = pair(value, 1.0)
    assert (value == 65520.0) == (first.histogram(np.zeros(3, np.int64)) @ cost(EXPONENTS) > 0)


def test_the_cost_is_0_in_range_and_grows_outside() -> None:
    inside = np.arange(LOWEST, HIGHEST + 1)
    assert 0 == cost(inside).sum()
    assert 0 < cost(np.array([LOWEST - 1]))[0] < cost(np.array([LOWEST - 2]))[0]
    assert cost(np.array([LOWEST - 1000]))[0] * 1e5 < cost(np.array([HIGHEST + 1]))[0]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((6, 2, 3, 3), Layout(1, 1, 6, 18), Layout(2, 3, 2, 9)),
        ((4, 3, 2, 2), Layout(2, 2, 3, 4), Layout(1, 1, 4, 12)),
        ((5, 7), Layout(1, 1, 5, 7), Layout(1, 5, 7, 1)),
        ((7, 5), Layout(1, 7, 5, 1), Layout(1, 1, 7, 5)),
        ((64, 70, 9, 9), Layout(1, 1, 64, 70 * 81), Layout(1, 64, 70, 81)),
    ],
)
def test_histograms_hold_the_largest_of_each_kernel(
    shape: Tuple[int, ...], rows: Layout, columns: Layout, kept: bool
) -> None:
    random = np.random.RandomState(3)
    numbers = np.ldexp(random.uniform(0.5, 0.99, shape), random.randint(-8, 9, shape))
    assert shape[0] < 64 or numbers.size > CHUNK
    row_groups, column_groups = 1 + np.arange(rows.channels), 100 + np.arange(columns.channels)
    powers = random.randint(-3, 4, 200)
    block = Block(ArrayBlob(numbers), Side(rows, row_groups), Side(columns, column_groups), kept=kept)
    found = np.zeros((2, 201, 202), np.int64)
    block.count(powers, np.arange(200), found)
    kernel = numbers.size // (rows.channels * columns.channels // columns.groups // rows.groups)
    places = np.arange(numbers.size)
    row, column = rows.channel(places), columns.channel(places)
    largest = np.full((rows.channels, columns.channels), -1000)
    np.maximum.at(largest, (row, column), np.frexp(numbers.reshape(-1))[1])
    shifted = largest + powers[row_groups][:, None] - powers[column_groups]
    for channel in range(rows.channels):
        expected = np.bincount(shifted[channel][largest[channel] > -1000] + 100, minlength=201) * kernel
        assert np.array_equal(expected, found[0, 1 + channel, :201])
    for channel in range(columns.channels):
        expected = np.bincount(shifted[:, channel][largest[:, channel] > -1000] + 100, minlength=201) * kernel
        assert np.array_equal(expected, found[1, 100 + channel, :201])


def test_a_negligible_number_pulls_at_nothing() -> None:
    def result(bias: float, beside: Optional[Block]) -> int:
        rows = Side(Layout(1, 1, 1, 1), np.array([1]))
        blocks = [Block(ArrayBlob(np.array([bias])), rows, weights=beside)] + ([beside] if beside else [])
        return int(Descent(blocks, np.zeros(2, np.int64)).settled([np.array([1])])[1])

    weights = Block(ArrayBlob(np.ones((1, 1))), Side(Layout(1, 1, 1, 1), np.array([1])))
    assert result(1e-5, None) > 0
    assert 0 == result(1e-9, weights)
