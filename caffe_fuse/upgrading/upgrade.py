"""Writes a model of an old form as BVLC Caffe's own tools upgrade it: the stages, and the proof of what was written."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..errors import InternalError
from ..files.outputs import Outputs, failure
from ..folding.save import stem_of
from ..generations import V2
from ..net.build import read_layers, unknown_types
from ..net.load import PathLike, read_files
from ..protobuf import text as textproto
from ..protobuf.wire import Source
from ..weights import FORMATS, WeightFile, read_weights
from .text import UpgradedText, upgraded_text
from .weights import UpgradedWeights, upgraded_weights


class Upgrade(NamedTuple):
    """What `upgrade` has done to each file, in sentences, and the files that it wrote."""

    net: Tuple[str, ...]
    weights: Tuple[str, ...]
    warnings: Tuple[str, ...]
    written: Tuple[str, ...]


def upgrade(net: PathLike, weights: Optional[PathLike], prefix: PathLike) -> Upgrade:
    """Writes PREFIX.prototxt in the V2 form and, if there are weights, the weight file too: both or neither.

    Where nothing is old the bytes stay the same. Raises InputError for files that are no model or that Caffe could not
    upgrade, SystemFailure when the system refuses, InternalError when the proof fails. Nothing is left behind then.
    """
    document, stored = read_files(net, weights)
    strange = unknown_types(read_layers(document))
    text = upgraded_text(document)
    content = document.render(text.edits)
    _prove_text(content, text)
    # By the net's layers, for weights whose types are numbers of a fork.
    types = {parameter.name: parameter.type for parameter in text.layers}
    numbers = None if stored is None else upgraded_weights(stored, types)
    targets = _targets(prefix, stored)
    with Outputs([document.path, *([stored.path] if stored is not None else [])]) as outputs:
        pending = [outputs.create(target) for target in targets]
        try:
            if numbers is not None:
                numbers.write(pending[0].write)
            pending[-1].write(0, memoryview(content))
        except OSError as error:
            raise failure(error, targets[0]) from error
        if numbers is not None:
            _prove_weights(pending[0].temporary, numbers)
        outputs.commit()
    return Upgrade(text.done, numbers.done if numbers is not None else (), (*strange, *text.warnings), targets)


def _targets(prefix: PathLike, stored: Optional[WeightFile]) -> Tuple[str, ...]:
    stem = stem_of(prefix)
    suffixes = [format.suffix for format in FORMATS if stored is not None and format.name == stored.format]
    return tuple(stem + suffix for suffix in (*suffixes, ".prototxt"))


def _prove_text(content: bytes, text: UpgradedText) -> None:
    """The new text, read alone, has the layers that were meant, and none of an old form."""
    layers = read_layers(textproto.parse(content, "the upgraded net"))
    found = [layer.parameter.SerializeToString(deterministic=True) for layer in layers]
    meant = [parameter.SerializeToString(deterministic=True) for parameter in text.layers]
    if found != meant or any(layer.generation != V2 for layer in layers):
        raise InternalError("the upgraded net does not read as it should")


def _prove_weights(path: str, numbers: UpgradedWeights) -> None:
    """The new file has the blobs of the old one under the same names, by their shapes."""
    if _blobs(read_weights(Source(path))) != _blobs(numbers.original):
        raise InternalError("the upgraded weights do not read as they should")


def _blobs(weights: WeightFile) -> List[Tuple[str, Sequence[Tuple[int, ...]]]]:
    return [(record.name, [blob.shape for blob in record.blobs]) for record in weights.layers if record.blobs]
