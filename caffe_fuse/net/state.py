"""The layers that take part: the phase, the level and the stages of a net, and the rules of its layers."""

from __future__ import annotations

import dataclasses
from typing import Any, FrozenSet, List, Literal, NamedTuple, Tuple

from ..errors import InputError
from ..protobuf.text import Document
from ..schema import messages as schema
from .graph import Layer

Phase = Literal["TEST", "TRAIN"]


class State(NamedTuple):
    """The state that decides which layers take part (Caffe: NetState, net.cpp:261-353)."""

    phase: str = "TEST"
    level: int = 0
    stages: FrozenSet[str] = frozenset()


def state_of(document: Document, asked: State) -> Tuple[State, List[str]]:
    """The requested state with the stages of the net's own `state` added, and warnings if the two differ.

    Caffe: net.cpp, Net's constructor sets the phase and the level in the net's state, and adds the stages.
    """
    root = document.root
    fields = tuple(field for field in root.fields if field.name == "state")
    own = schema.read(document, root._replace(fields=fields), "NetParameter").message.state
    phases = {number: name for name, number in schema.PHASES.items()}
    settings = [
        (own.HasField("phase"), "phase", phases[own.phase], asked.phase),
        (own.HasField("level"), "level", own.level, asked.level),
    ]
    warnings = [
        f"{document.where(fields[0].start)}: the net's own state has {name} {stated}, but Caffe uses the one it is "
        f"started with: {name} {taken} is used (--{name} {stated} selects the other)"
        for is_set, name, stated, taken in settings
        if is_set and stated != taken
    ]
    return asked._replace(stages=asked.stages.union(own.stage)), warnings


def in_phase(layer: Layer, state: State) -> Layer:
    """The layer with the net's phase, unless it has its own (Caffe: net.cpp Init)."""
    if layer.parameter.HasField("phase"):
        return layer
    parameter = schema.copy_of(layer.parameter)
    parameter.phase = schema.PHASES[state.phase]
    return dataclasses.replace(layer, parameter=parameter)


def takes_part(layer: Layer, state: State) -> bool:
    """Whether the rules of a layer include it. Raises InputError for a layer with rules of both kinds."""
    include, exclude = layer.parameter.include, layer.parameter.exclude
    if include and exclude:
        raise InputError(
            f"layer {layer.name} has both include and exclude rules",
            where=layer.where,
            remedy="Caffe allows one kind: remove the other",
        )
    if include:
        return any(_meets(rule, state) for rule in include)
    return not any(_meets(rule, state) for rule in exclude)


def _meets(rule: Any, state: State) -> bool:
    """Whether the state meets a rule (Caffe: net.cpp:291-353 StateMeetsRule)."""
    if rule.HasField("phase") and rule.phase != schema.PHASES[state.phase]:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    return state.stages.issuperset(rule.stage) and not state.stages.intersection(rule.not_stage)
