"""Finds the models in a folder: which nets and which weight files belong together, by content and name."""

from __future__ import annotations

import os
import re
from typing import FrozenSet, Iterable, Iterator, List, NamedTuple, Sequence, Tuple, Union

from ..errors import CaffeFuseError, InputError
from ..net.load import load, read_files
from ..protobuf.text import Document, Message, Scalar
from ..protobuf.wire import Source
from ..weights import FORMATS, read_weights
from ..wording import few

# Files with these endings are told if they are no part of a model; others, such as images, are not.
_TEXTS = (".prototxt", ".pbtxt")
_WEIGHTS = tuple(format.suffix for format in FORMATS)
_HEAD = 1 << 16
_LAYER = re.compile(rb"\blayers?\s*:?\s*[{\[]")


class Pair(NamedTuple):
    """A model. under: the folder of its net, in the folder that was given."""

    net: str
    weights: str
    under: str = ""


class Left(NamedTuple):
    """A file that is part of no model, and why."""

    file: str
    reason: str


class Found(NamedTuple):
    pairs: Tuple[Pair, ...]
    left: Tuple[Left, ...]


class _Net(NamedTuple):
    """layers: their names. deploys: whether it has neither a loss nor a layer that reads data."""

    path: str
    layers: FrozenSet[str]
    deploys: bool


class _Weights(NamedTuple):
    """layers: the names of those with blobs; none if the file is damaged."""

    path: str
    layers: FrozenSet[str]


def in_folder(folder: str) -> Found:
    """The models of a folder and its subfolders, in the order of their nets' paths."""
    nets, weights, left = _sorted_out(_files(folder))
    pairs: List[Tuple[_Net, _Weights]] = []
    for place in sorted({os.path.dirname(path) for path in [*(n.path for n in nets), *(w.path for w in weights)]}):
        pairs += _matched([net for net in nets if _beside(net, place)], [w for w in weights if _beside(w, place)])
    # What is alone in its folder may have its other half in another one.
    taken = {file.path for pair in pairs for file in pair}
    pairs += _matched([net for net in nets if net.path not in taken], [w for w in weights if w.path not in taken])
    under = {net.path: os.path.relpath(os.path.dirname(net.path), folder) for net, _ in pairs}
    found = [
        Pair(net.path, stored.path, "" if under[net.path] == os.curdir else under[net.path]) for net, stored in pairs
    ]
    return Found(tuple(sorted(found)), tuple(sorted([*left, *_unmatched(nets, weights, pairs)])))


def of_files(files: Sequence[str]) -> Found:
    """The models of several files: each two that follow one another, or, as after `*`, by content and name.

    Raises InputError for a file that does not exist.
    """
    for file in files:
        if not os.path.exists(file):
            raise InputError("does not exist", where=file, remedy="give nets with their weights, or folders of them")
    twos = list(zip(files[::2], files[1::2]))
    if len(files) % 2 == 0 and not any(_is_net(one) == _is_net(other) for one, other in twos):
        return Found(tuple(Pair(*(two if _is_net(two[0]) else two[::-1])) for two in twos), ())
    nets, weights, left = _sorted_out(files)
    known = {each.path for each in nets} | {each.path for each in weights} | {each.file for each in left}
    left += [Left(file, "is neither a net nor weights") for file in files if file not in known]
    pairs = _matched(nets, weights)
    found = [Pair(net.path, stored.path) for net, stored in sorted(pairs, key=lambda pair: nets.index(pair[0]))]
    return Found(tuple(found), (*left, *_unmatched(nets, weights, pairs)))


def _is_net(path: str) -> bool:
    """Whether a file is a net, or is called as one."""
    return isinstance(_read(path), _Net) or path.endswith(_TEXTS)


def _files(folder: str) -> Iterator[str]:
    """Hidden files and folders are no part of it."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(place, name) for name in sorted(names) if not name.startswith("."))


def _sorted_out(files: Iterable[str]) -> Tuple[List[_Net], List[_Weights], List[Left]]:
    read = [_read(path) for path in files]
    return (
        [each for each in read if isinstance(each, _Net)],
        [each for each in read if isinstance(each, _Weights)],
        [each for each in read if isinstance(each, Left)],
    )


def _read(path: str) -> Union[_Net, _Weights, Left, None]:
    """What a file is: of weights no value is read. None if it has nothing to do with a model."""
    try:
        source = Source(path)
        head = source.read(0, min(_HEAD, source.size))
        if path.endswith(_TEXTS) or (b"\0" not in head and _LAYER.search(head)):
            document, _ = read_files(path, None)
            return _net(document)
        stored = read_weights(source)
        return _Weights(path, frozenset(record.name for record in stored.layers if record.blobs))
    except CaffeFuseError as error:
        if path.endswith(_WEIGHTS) and os.path.isfile(path):
            return _Weights(path, frozenset())  # damaged: the command says how
        return Left(path, error.what) if path.endswith(_TEXTS) else None


def _net(document: Document) -> _Net:
    layers = [value for name in ("layer", "layers") for value in document.root.all(name) if isinstance(value, Message)]
    inner = [layer.last("layer") for layer in layers]  # V0
    layers = [within if isinstance(within, Message) else layer for layer, within in zip(layers, inner)]
    types = " ".join(_word(document, layer, "type").lower() for layer in layers)
    names = frozenset(_word(document, layer, "name") for layer in layers)
    return _Net(document.path, names, "data" not in types and "loss" not in types)


def _word(document: Document, layer: Message, name: str) -> str:
    value = layer.last(name)
    if not isinstance(value, Scalar):
        return ""
    return document.source[value.start : value.end].decode(errors="replace").strip("\"'")


def _matched(nets: Sequence[_Net], weights: Sequence[_Weights]) -> List[Tuple[_Net, _Weights]]:
    """The nets and weights that belong together: of one name, else the only ones that are left, else by layers.

    Of one model in two formats the first is taken.
    """
    weights = list({_stem(stored.path): stored for stored in reversed(weights)}.values())[::-1]
    by_stem = [[net for net in nets if _stem(net.path) == _stem(stored.path)] for stored in weights]
    pairs = [(found[0], stored) for found, stored in zip(by_stem, weights) if len(found) == 1]
    unpaired = [stored for found, stored in zip(by_stem, weights) if len(found) != 1]
    free = [net for net in nets if net not in [taken for taken, _ in pairs]]
    if len(free) == len(unpaired) == 1:
        return [*pairs, (free[0], unpaired[0])]
    for stored in unpaired:
        chosen = _only(_fitting(free, stored)) or _only(_fitting(nets, stored))
        pairs += [(net, stored) for net in chosen]
    return pairs


def _only(fitting: Sequence[_Net]) -> Sequence[_Net]:
    """The one that is meant: a net for deployment before those for training."""
    deploying = [net for net in fitting if net.deploys]
    chosen = deploying or fitting
    return chosen if len(chosen) == 1 else []


def _fitting(nets: Sequence[_Net], stored: _Weights) -> List[_Net]:
    return [net for net in nets if net.layers & stored.layers and _loads(net.path, stored.path)]


def _loads(net: str, weights: str) -> bool:
    try:
        load(net, weights)
        return True
    except CaffeFuseError:
        return False


def _unmatched(
    nets: Sequence[_Net], weights: Sequence[_Weights], pairs: Sequence[Tuple[_Net, _Weights]]
) -> Iterator[Left]:
    taken = {file.path for pair in pairs for file in pair}
    first = {os.path.join(os.path.dirname(stored.path), _stem(stored.path)): stored.path for _, stored in pairs}
    for stored in weights:
        if stored.path in taken:
            continue
        twin = first.get(os.path.join(os.path.dirname(stored.path), _stem(stored.path)))
        if twin is not None:
            yield Left(stored.path, f"{twin} was taken")
        else:
            fitting = [net.path for net in _fitting(nets, stored)]
            more = f"fits {few(fitting)}: say in a manifest which is meant" if fitting else "no net here fits it"
            yield Left(stored.path, more)
    for net in nets:
        if net.path not in taken:
            better = [other.path for other, stored in pairs if net.layers & other.layers & stored.layers]
            yield Left(net.path, f"{better[0]} was taken" if better else "no weights here fit it")


def _beside(file: Union[_Net, _Weights], place: str) -> bool:
    return os.path.dirname(file.path) == place


def _stem(path: str) -> str:
    name = os.path.basename(path)
    ending = next((ending for ending in (*_TEXTS, *_WEIGHTS) if name.endswith(ending)), os.path.splitext(name)[1])
    return name[: len(name) - len(ending)]
