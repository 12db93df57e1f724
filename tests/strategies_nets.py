"""Random nets for property tests."""

from __future__ import annotations

from typing import Any, Sequence

from hypothesis import strategies as st
from random_nets import INPUT, Builder

__all__ = ["INPUT", "nets"]


class _Drawn:
    """Choices drawn by Hypothesis."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(choices))

    def number(self, low: int, high: int) -> int:
        found: int = self._draw(st.integers(low, high))
        return found

    def coin(self) -> bool:
        found: bool = self._draw(st.booleans())
        return found


@st.composite
def nets(draw: Any, affines: bool = True) -> bytes:
    """Draws a prototxt with input x of shape INPUT, each layer on its own line."""
    return Builder(_Drawn(draw), affines).net(draw(st.integers(1, 4)))
