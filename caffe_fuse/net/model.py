"""A model: the two files as they were read, and the current net."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ..argument_types import Kind
from ..display import Display, Row, displayed, several
from ..errors import InputError
from ..layers.layer_type import Shape
from ..layers.shapes import text
from ..protobuf.text import Document, Scalar
from ..schema.names import decode
from ..weights.records import WeightFile
from ..wording import called_after, counted, few
from .graph import Layer, Net


@displayed
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

    def _display(self) -> Display:
        net, types = self.net, Counter(layer.type for layer in self.net.layers)
        inputs: Dict[str, Shape] = dict(net.inputs)
        first = [value for layer in net.layers if not layer.bottoms for value in net.tops(layer)]
        inputs.update({value.blob: net.shapes[value] for value in first})
        rows: List[Row] = [
            *several("file", self.paths),
            ("layers", few(f"{count} {kind}" for kind, count in types.most_common())),
            ("weights", self._weights()),
            *several("input", [f"{name} {text(shape)}" for name, shape in inputs.items()]),
            *several("output", [f"{value.blob} {text(net.shapes[value])}" for value in net.outputs]),
            *several("warning", self.warnings),
        ]
        return Display(f"Model {self.name}: {counted(len(net.layers), 'layer')}", rows)

    def _weights(self) -> str:
        if self.weights is None:
            return "none: they were not given"
        blobs = {id(blob): blob.count for layer in self.net.layers for blob in layer.blobs}
        return f"{counted(sum(blobs.values()), 'value')} in {counted(len(blobs), 'blob')}, {self.weights.format}"

    @property
    def name(self) -> str:
        """The net's own name; without one that of its file, or of its folder."""
        said = self.document.root.last("name")
        own = decode(said.string()) if isinstance(said, Scalar) and said.kind == "string" else ""
        return own or called_after(self.document.path)

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


MODEL = Kind("a Model, as caffe_fuse.load returns it,", (Model,))
