"""Demands on the names of layers and blobs, and layers that write the blob they read."""

from __future__ import annotations

import re
from functools import partial
from typing import AbstractSet, Callable, Dict, List, NamedTuple, Set

from ..generations import V2
from ..net.graph import Layer, Net
from ..net.model import Model
from ..schema.messages import copy_of
from .demand import REFUSES, Changed, Demand, Finding


class _Rule(NamedTuple):
    """legal: of a whole name. blobs: whether it is for blobs as well.

    written: how the tool writes a name, so that others become the same. outputs: of the layer of an output.
    """

    legal: re.Pattern[str]
    blobs: bool = False
    written: Callable[[str], str] = str
    outputs: re.Pattern[str] = re.compile("(?s:.)*")

    def made_legal(self, name: str, taken: Set[str]) -> str:
        """A legal name that is not taken, and is then. taken: names as the tool writes them."""
        letters = (letter if self.legal.fullmatch("x" + letter) else "_" for letter in self.written(name))
        new = "".join(letters)
        new = new if self.legal.fullmatch(new) else "x" + new
        while self.written(new) in taken:
            new += "_"
        taken.add(self.written(new))
        return new


def legal_names(pattern: str, what: str, *, blobs: bool = False) -> Demand:
    """Names that match the pattern, each of one layer only; "_" is legal, and "x" may begin a name."""
    return _names(_Rule(re.compile(pattern), blobs=blobs), what)


def _names(rule: _Rule, what: str) -> Demand:
    return Demand("names", what, partial(_illegal, rule), partial(_renamed, rule))


def _for_paddle(name: str) -> str:
    return re.sub("[/-]", "_", name).lower()


def _illegal(rule: _Rule, model: Model) -> List[Finding]:
    names, blobs = _layer_names(rule, model.net), _blob_names(rule, model.net, frozenset())
    found: List[Finding] = []
    for layer in model.net.layers:
        illegal = [top for top in layer.tops if top in blobs]
        if layer.index in names:
            what = f"has the name {layer.name!r}, which is not legal there or is that of another layer"
            found.append(Finding("names", layer, REFUSES, what))
        elif illegal:
            found.append(Finding("names", layer, REFUSES, f"writes a blob with the name {illegal[0]!r}"))
    return found


def _renamed(rule: _Rule, model: Model, kept: AbstractSet[str]) -> Dict[int, Changed]:
    net = model.net
    names, blobs = _layer_names(rule, net), _blob_names(rule, net, kept)
    found: Dict[int, Changed] = {}
    for layer in net.layers:
        if layer.name in kept or layer.generation != V2:
            continue
        bottoms, tops = ([blobs.get(blob, blob) for blob in each] for each in (layer.bottoms, layer.tops))
        new, done = layer.rewired(bottoms, tops), []
        if layer.index in names:
            parameter = copy_of(new.parameter)
            parameter.name = names[layer.index]
            new, done = new.rewritten(parameter, new.blobs), [f"has the name {parameter.name}"]
        if new is not layer:
            done += [f"{old} is {blobs[old]}" for old in dict.fromkeys((*layer.bottoms, *layer.tops)) if old in blobs]
            found[layer.index] = new, ", ".join(done)
    return found


def _layer_names(rule: _Rule, net: Net) -> Dict[int, str]:
    """The new names of layers, by index. Of several layers with one name, that with weights keeps it, or the first."""
    owners: Dict[str, Layer] = {}
    for layer in sorted(net.layers, key=lambda layer: not layer.blobs):
        owners.setdefault(rule.written(layer.name), layer)
    taken, found = set(owners), {}
    for layer in net.layers:
        name = rule.written(layer.name)
        ends = any(not net.consumers(value) for value in net.tops(layer))
        is_legal = rule.legal.fullmatch(layer.name) and (not ends or rule.outputs.fullmatch(layer.name))
        if owners[name] is layer and is_legal:
            continue
        if owners[name] is layer:
            taken.discard(name)
        found[layer.index] = rule.made_legal(layer.name, taken)
    return found


def _blob_names(rule: _Rule, net: Net, kept: AbstractSet[str]) -> Dict[str, str]:
    """The new names of blobs. Those of `input` fields stay, and those of layers that stay as they are."""
    if not rule.blobs:
        return {}
    fixed = {*net.inputs, *_blobs_that_stay(net, kept)}
    taken = set(net.blob_names)
    illegal = (name for name in net.blob_names if not rule.legal.fullmatch(name) and name not in fixed)
    return {name: rule.made_legal(name, taken) for name in illegal}


def _blobs_that_stay(net: Net, kept: AbstractSet[str]) -> Set[str]:
    """What layers that stay as they are read and write."""
    stay = [layer for layer in net.layers if layer.name in kept or layer.generation != V2]
    return {blob for layer in stay for blob in (*layer.bottoms, *layer.tops)}


def _in_place_on_inputs(model: Model) -> List[Finding]:
    found: List[Finding] = []
    for layer in model.net.layers:
        for value, top in zip(model.net.bottoms(layer), layer.tops):
            producer = model.net.producer(value)
            if value.blob == top and (producer is None or not producer.bottoms):
                what = f"works in place on {top}, an input of the net"
                found.append(Finding("in-place", layer, REFUSES, what, "give its top another name"))
    return found


def _in_their_own_blobs(model: Model, kept: AbstractSet[str]) -> Dict[int, Changed]:
    """Layers in place on an input write a blob of their own, and their consumers read it; an output keeps its name."""
    net, names = model.net, _own_blobs(model, kept)
    found: Dict[int, Changed] = {}
    for layer in net.layers:
        bottoms, tops = (
            [names[value.blob] if value.blob in names and value.version else value.blob for value in values]
            for values in (net.bottoms(layer), net.tops(layer))
        )
        new = layer.rewired(bottoms, tops)
        if new is not layer:
            found[layer.index] = new, f"reads {', '.join(bottoms)}, writes {', '.join(tops)}"
    return found


def _own_blobs(model: Model, kept: AbstractSet[str]) -> Dict[str, str]:
    """For each input that a layer writes in place, the name of what is written.

    Not where that is an output, or a layer that stays as it is reads or writes it.
    """
    fixed = {value.blob for value in model.net.outputs} | _blobs_that_stay(model.net, kept)
    found: Dict[str, str] = {}
    for finding in _in_place_on_inputs(model):
        assert finding.layer is not None
        for blob in set(finding.layer.bottoms) & set(finding.layer.tops) - fixed - set(found):
            name = f"{blob}_{finding.layer.name}"
            while name in model.net.blob_names:
                name += "_"
            found[blob] = name
    return found


NOT_IN_PLACE = Demand("in-place", "no layer in place on an input of the net", _in_place_on_inputs, _in_their_own_blobs)
LOWER_NAMES = _names(
    # It writes / and - as _, and capitals small, except where it returns the output of a layer.
    _Rule(re.compile("(?s:.)*"), written=_for_paddle, outputs=re.compile("[^A-Z]*")),
    "layer names that differ in more than case and / - _, those of outputs without capitals",
)
