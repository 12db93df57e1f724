"""The rows of a report as its JSON has them: layers by name. What the passes hand on has the layers themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, NamedTuple, Optional, Tuple, Union

if TYPE_CHECKING:
    from ..net.graph import Layer
    from ..passes import Move, Refused, Removal, Rewrite
    from ..rescale.rescale import Unrepaired
    from ..wording import Typed


class LayerRow(NamedTuple):
    """The name of a layer, and its type."""

    layer: str
    type: str

    @classmethod
    def of(cls, layer: Layer) -> LayerRow:
        return cls(layer.name, layer.type)


class FoldedRow(NamedTuple):
    """A layer with weights, the layers that it absorbed in the order of the data, and its top now."""

    layer: str
    type: str
    absorbed: Tuple[LayerRow, ...]
    top: str

    @classmethod
    def of(cls, rewrite: Rewrite) -> FoldedRow:
        after = rewrite.after
        return cls(after.name, after.type, _named(rewrite.absorbed), after.tops[0])


class ConvertedRow(NamedTuple):
    """A layer whose type `from_` became `to`. absorbed: the other layers of its chain. top: its top now.

    reason: why no layer before it could absorb it. In JSON `from_` is "from".
    """

    layer: str
    from_: str
    to: str
    absorbed: Tuple[LayerRow, ...]
    top: str
    reason: str

    @classmethod
    def of(cls, rewrite: Rewrite) -> ConvertedRow:
        after = rewrite.after
        absorbed = _named(rewrite.absorbed)
        return cls(after.name, rewrite.target.type, after.type, absorbed, after.tops[0], rewrite.reason)


class CarriedRow(NamedTuple):
    """Layers that were folded through other layers. into: the names of the layers that absorbed them."""

    layers: Tuple[LayerRow, ...]
    through: Tuple[LayerRow, ...]
    into: Tuple[str, ...]

    @classmethod
    def of(cls, move: Move) -> CarriedRow:
        return cls(_named(move.chain), _named(move.through), tuple(layer.name for layer in move.absorbing))


class SimplifiedRow(NamedTuple):
    """A layer that was removed because it does nothing."""

    layer: str
    type: str
    reason: str

    @classmethod
    def of(cls, removal: Removal) -> SimplifiedRow:
        return cls(removal.layer.name, removal.layer.type, removal.reason)


class RefusedRow(NamedTuple):
    """A layer that stays as it is. rule: the one that refused it. remedy: what to do, if anything helps.

    line: in the prototxt, from 1.
    """

    layer: str
    type: str
    rule: str
    reason: str
    remedy: Optional[str]
    line: int

    @classmethod
    def of(cls, refused: Refused, typed: Typed) -> RefusedRow:
        layer, remedy = refused.layer, refused.remedy
        said = None if remedy is None else remedy.in_full(typed)
        return cls(layer.name, layer.type, refused.rule, refused.reason, said, layer.line)


class BatchNormRow(NamedTuple):
    """A BatchNorm that remains. line: in the prototxt, from 1."""

    layer: str
    type: str
    line: int

    @classmethod
    def of(cls, layer: Layer) -> BatchNormRow:
        return cls(layer.name, layer.type, layer.line)


class UnrepairedRow(NamedTuple):
    """Channels that half precision still loses. blob: the index of a blob of weights, or the name of a top.

    channels: their indices, empty where their axis is not known. overflow: whether a value there does. reason: why
    range repair cannot help.
    """

    layer: str
    blob: Union[int, str]
    channels: Tuple[int, ...]
    overflow: bool
    reason: str

    @classmethod
    def of(cls, found: Unrepaired) -> UnrepairedRow:
        return cls(found.layer.name, found.blob, tuple(found.channels), found.overflow, found.reason)


def document(row: Any) -> Dict[str, Any]:
    """A row as JSON has it."""
    return {name.rstrip("_"): _plain(value) for name, value in row._asdict().items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return document(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _named(layers: Iterable[Layer]) -> Tuple[LayerRow, ...]:
    return tuple(map(LayerRow.of, layers))
