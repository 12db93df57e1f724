from __future__ import annotations

from typing import Any, Iterable, Iterator, List

import pytest

from caffe_fuse import parallel, progress


def test_each_item_is_done_once_and_is_a_step_of_its_caller() -> None:
    steps: List[Any] = []

    def display(items: Iterable[Any], total: int, unit: str) -> Iterator[Any]:
        steps.append((total, unit))
        for item in items:
            steps.append(item)
            yield item

    done: List[int] = []
    with progress.shown(display):
        parallel.each(done.append, range(50), "blob")
    parallel.each(done.append, [50])  # which nobody is shown
    assert [(50, "blob"), *range(50)] == steps
    assert list(range(51)) == sorted(done)


def test_the_first_failure_is_raised_and_ends_the_others() -> None:
    done: List[int] = []

    def work(item: int) -> None:
        if item == 3:
            raise ValueError("3")
        done.append(item)

    with pytest.raises(ValueError, match="3"):
        parallel.each(work, range(1_000_000))
    assert len(done) < 999_999
