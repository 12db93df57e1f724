"""A model: the two files as they were read, and the net as it stands now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ..protobuf.text import Document
from ..weights.records import WeightFile
from .graph import Layer, Net


@dataclass(frozen=True, repr=False)
class Model:
    """What `load` gives. Nothing in it changes; a fold is a new Model over the same files.

    source: the net as the files say. net: as it is now. excluded: layers that the phase, level and stages leave
    out. dropped: those of them that a fold left without sense.
    """

    document: Document
    weights: Optional[WeightFile]
    source: Net
    net: Net
    excluded: Tuple[Layer, ...] = ()
    dropped: Tuple[Layer, ...] = ()
    warnings: Tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Model {' '.join(self.paths)}: {len(self.net.layers)} layers>"

    @property
    def paths(self) -> Tuple[str, ...]:
        """The input files: no output may be one of them."""
        return (self.document.path,) + ((self.weights.path,) if self.weights is not None else ())
