"""Upgrades a model of an old form as BVLC Caffe's own tools do: the stages, and the proof of what was written."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import InternalError
from ..files.outputs import Outputs, failure
from ..folding.save import stem_of
from ..generations import V2
from ..net.build import read_layers, unknown_types
from ..net.load import PathLike, read_files
from ..protobuf import text as textproto
from ..protobuf.text import Document
from ..protobuf.wire import Source
from ..weights import FORMATS, WeightFile, read_weights
from .text import UpgradedText, upgraded_text
from .weights import UpgradedWeights, upgraded_weights


class Upgrade(NamedTuple):
    """What `upgrade` changed in each file, in sentences, and the files that it wrote."""

    net: Tuple[str, ...]
    weights: Tuple[str, ...]
    warnings: Tuple[str, ...]
    written: Tuple[str, ...]


def upgrade(net: PathLike, weights: Optional[PathLike], prefix: PathLike) -> Upgrade:
    """Writes PREFIX.prototxt in the V2 form and, if weights are given, the weight file too: both or neither.

    Files that are not in an old form stay the same, byte for byte. Raises InputError for files that are not a model or
    that Caffe could not upgrade, SystemFailure when the system refuses, InternalError when the proof fails; then no
    file is written.
    """
    document, stored = read_files(net, weights)
    strange = unknown_types(read_layers(document))
    text, content, binary = _upgraded(document, stored)
    targets = _targets(prefix, stored)
    with Outputs([document.path, *([stored.path] if stored is not None else [])]) as outputs:
        pending = [outputs.create(target) for target in targets]
        try:
            if binary is not None:
                binary.write(pending[0].write)
            pending[-1].write(0, memoryview(content))
        except OSError as error:
            raise failure(error, targets[0]) from error
        if binary is not None:
            _prove_weights(read_weights(Source(pending[0].temporary)), binary)
        outputs.commit()
    return Upgrade(text.done, binary.done if binary is not None else (), (*strange, *text.warnings), targets)


def upgraded_files(
    document: Document, stored: Optional[WeightFile]
) -> Tuple[Document, Optional[WeightFile], Tuple[str, ...]]:
    """Both files as `upgrade` would write them, in memory, and what changed in the net. Raises as `upgrade` does."""
    text, content, binary = _upgraded(document, stored)
    new = textproto.parse(content, document.path)
    if stored is None or binary is None:
        return new, None, text.done
    pieces: Dict[int, bytes] = {}

    def put(place: int, data: memoryview) -> None:
        pieces[place] = bytes(data)

    binary.write(put)
    weights = read_weights(Source(b"".join(pieces[place] for place in sorted(pieces)), stored.path))
    _prove_weights(weights, binary)
    return new, weights, text.done


def _upgraded(
    document: Document, stored: Optional[WeightFile]
) -> Tuple[UpgradedText, bytes, Optional[UpgradedWeights]]:
    """The upgrade of the text with its proof, the new text, and the upgrade of the weights."""
    text = upgraded_text(document)
    content = document.render(text.edits)
    _prove_text(content, text)
    # From the net's layers, for weights whose layer types are enum values of a fork.
    types = {parameter.name: parameter.type for parameter in text.layers}
    return text, content, None if stored is None else upgraded_weights(stored, types)


def _targets(prefix: PathLike, stored: Optional[WeightFile]) -> Tuple[str, ...]:
    stem = stem_of(prefix)
    suffixes = [format.suffix for format in FORMATS if stored is not None and format.name == stored.format]
    return tuple(stem + suffix for suffix in (*suffixes, ".prototxt"))


def _prove_text(content: bytes, text: UpgradedText) -> None:
    """Raises InternalError unless the new text has exactly the upgraded layers, all in the V2 form."""
    layers = read_layers(textproto.parse(content, "the upgraded net"))
    found = [layer.parameter.SerializeToString(deterministic=True) for layer in layers]
    meant = [parameter.SerializeToString(deterministic=True) for parameter in text.layers]
    if found != meant or any(layer.generation != V2 for layer in layers):
        raise InternalError("the upgraded net does not read as it should")


def _prove_weights(written: WeightFile, binary: UpgradedWeights) -> None:
    """Raises InternalError unless the new file has the layers of the old one, with blobs of the same shapes."""
    if _blobs(written) != _blobs(binary.original):
        raise InternalError("the upgraded weights do not read as they should")


def _blobs(weights: WeightFile) -> List[Tuple[str, Sequence[Tuple[int, ...]]]]:
    return [(record.name, [blob.shape for blob in record.blobs]) for record in weights.layers if record.blobs]
