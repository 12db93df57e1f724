"""A model: the two files as they were read, and the current net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ..errors import InputError
from ..protobuf.text import Document
from ..weights.records import WeightFile
from .graph import Layer, Net


@dataclass(frozen=True, repr=False)
class Model:
    """The result of `load`. Immutable; a fold returns a new Model of the same files.

    source: the net of the files. net: the current net. excluded: layers that do not take part in this phase, level and
    stages. dropped: those of them that a fold made meaningless.
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
        """The input files, which no output may overwrite."""
        return (self.document.path,) + ((self.weights.path,) if self.weights is not None else ())

    def required_weights(self) -> WeightFile:
        """The weight file. Raises InputError for a model without one."""
        if self.weights is None:
            raise InputError(
                "the model has no weights", where=self.document.path, remedy="give the .caffemodel as well"
            )
        return self.weights
