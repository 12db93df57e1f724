"""Report: the facts of one fold, as data. Its forms are beside it: terminal.py, document.py (JSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping, NamedTuple, Optional, Tuple

from ..activations import Activations
from ..diagnosis import Diagnosis
from ..half import HalfReport
from ..net import Layer
from ..passes import Refused, Rewrite
from ..rescale import Unrepaired

if TYPE_CHECKING:
    from ..comparison import Verification


class Report(NamedTuple):
    """inputs: the files as they were named. folded, converted: what was rewritten, in the order of the net.

    vanished_blobs: blob name -> the blob that holds its value now, or None. dropped: layers of other phases, and
    records of the weight file, that went with a fold. before_channels, after_channels: the channels of
    `before` and `after`, read when they are asked for. rescaled: blob name -> the exponents of two that its channels
    are multiplied with. unrepaired: what rescaling could not help. activations: predicted or recorded. problems: why
    the result is not safe; empty if it is.
    """

    inputs: Tuple[str, ...]
    folded: Tuple[Rewrite, ...]
    converted: Tuple[Rewrite, ...]
    refused: Tuple[Refused, ...]
    vanished_blobs: Mapping[str, Optional[str]]
    dropped: Tuple[Layer, ...]
    before: HalfReport
    after: HalfReport
    before_channels: Diagnosis
    after_channels: Diagnosis
    rescaled: Mapping[str, Tuple[int, ...]]
    unrepaired: Tuple[Unrepaired, ...]
    activations: Activations
    warnings: Tuple[str, ...]
    problems: Tuple[str, ...]
    verification: Optional[Verification] = None

    @property
    def status(self) -> int:
        """The command's exit status: 0, or 1 where the result is not safe."""
        return 1 if self.problems else 0
