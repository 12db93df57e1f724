"""Demands on the types of layers and on their fields: which of them a tool knows."""

from __future__ import annotations

from functools import partial
from typing import Any, FrozenSet, Iterable, List, Optional, Tuple

from ..net.graph import Layer, Net
from ..net.model import Model
from ..schema.messages import copy_of, foreign_fields
from .demand import REFUSES, WRONG, Demand, Finding, each

# Fields that choose a kernel, a type or a memory: docs/dialects.md lists their sources.
_SILENT = frozenset(
    {
        *("engine", "conv_algorithm", "cudnn_convolution_algo_seeker", "conv_algos_override", "cudnn_math_override"),
        *("forward_type", "backward_type", "forward_math", "backward_math", "debug"),
    }
)
# In SSD's messages, what only some forks of SSD have.
_OF_FORKS = {
    "detection_output_param": ("clip", "normalized_bbox"),
    "prior_box_param": ("offset_h", "offset_w", "width", "height"),
}
_BVLC_ENGINES = ("DEFAULT", "CAFFE", "CUDNN")


def known_types(*extra: str, missing: Iterable[str] = (), wrong: Iterable[str] = ()) -> Demand:
    """The types of BVLC Caffe without the missing ones, and these. wrong: those that the tool has, but not right."""
    less = f" without {', '.join(sorted((*missing, *wrong)))}" if missing or wrong else ""
    more = f", and {', '.join(sorted(extra))}" if extra else ""
    known = partial(_unknown_types, frozenset(extra), frozenset(missing), frozenset(wrong))
    return Demand("types", f"the layer types of BVLC Caffe{less}{more}", known)


def _unknown_types(
    extra: FrozenSet[str], missing: FrozenSet[str], wrong: FrozenSet[str], model: Model
) -> List[Finding]:
    found: List[Finding] = []
    for layer in model.net.layers:
        kind = layer.layer_type
        is_known = kind is not None and not kind.foreign and kind.name == layer.type and kind.name not in missing
        if layer.type in wrong:
            found.append(Finding("types", layer, WRONG, f"has the type {layer.type}"))
        elif not is_known and layer.type not in extra and not _is_rewritten(layer):
            found.append(Finding("types", layer, REFUSES, f"has the type {layer.type}, which the tool does not know"))
    return found


def _is_rewritten(layer: Layer) -> bool:
    """Whether a demand of its own is about the type of this layer."""
    return layer.type == "HoleConvolution" or layer.kind in ("ConvolutionDepthwise", "Upsample")


def known_fields(*messages: str) -> Demand:
    """The fields of BVLC Caffe, and these of other Caffes: messages as a whole, or a field of one as MESSAGE.FIELD."""
    more = f", and {', '.join(sorted(messages))}" if messages else ""
    allowed = frozenset(messages)
    return Demand(
        "fields",
        f"the fields of BVLC Caffe{more}",
        partial(_unknown_fields, allowed),
        each(partial(_without_silent, allowed)),
    )


def known_values() -> Demand:
    """Fields of other Caffes are skipped by the tool, but not other values of an enum."""
    find, changes = partial(_unknown_fields, None), each(partial(_without_silent, None))
    return Demand("fields", "the values of BVLC Caffe in fields that it has", find, changes)


def _unknown_fields(allowed: Optional[FrozenSet[str]], model: Model) -> List[Finding]:
    found: List[Finding] = []
    for layer in model.net.layers:
        names = [each.path for each in layer.unknown if allowed is not None or _has(layer.parameter, each.path)]
        names += [path for path, _, _ in _foreign(layer.parameter, allowed)]
        if names and not _is_rewritten(layer):
            what = f"has {', '.join(names[:3])}, which the tool does not know"
            found.append(Finding("fields", layer, REFUSES, what))
    return found


def _has(parameter: Any, path: str) -> bool:
    """Whether Caffe has this field, but not the value that stands there."""
    *outer, name = path.split(".")
    descriptor = parameter.DESCRIPTOR
    for step in outer:
        descriptor = descriptor.fields_by_name[step].message_type
    return name in descriptor.fields_by_name


def _foreign(parameter: Any, allowed: Optional[FrozenSet[str]]) -> List[Tuple[str, Any, Any]]:
    """Path, descriptor and value of each field, or engine, that BVLC Caffe does not have. allowed: None: all fields."""
    found = [] if allowed is None else [field for field in foreign_fields(parameter) if field[0] not in allowed]
    known = {path for path, _, _ in found}
    for name in _OF_FORKS.keys() & (allowed or ()):
        inside = getattr(parameter, name).ListFields()
        paths = [(f"{name}.{field.name}", field, value) for field, value in inside if field.name in _OF_FORKS[name]]
        found += [path for path in paths if path[0] not in (allowed or ())]
    for field, value in parameter.ListFields():
        engine = None if not hasattr(value, "DESCRIPTOR") else value.DESCRIPTOR.fields_by_name.get("engine")
        if engine is None or f"{field.name}.engine" in known:
            continue
        if engine.enum_type.values_by_number[value.engine].name not in _BVLC_ENGINES:
            found.append((f"{field.name}.engine", engine, value.engine))
    return found


def _without_silent(allowed: Optional[FrozenSet[str]], _net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """Without foreign fields that change nothing, or have their default, if the layer has no others."""
    fields = _foreign(layer.parameter, allowed)
    if not fields or not all(field.name in _SILENT or _is_default(field, value) for _, field, value in fields):
        return None
    parameter = copy_of(layer.parameter)
    for path, _, _ in fields:
        *outer, name = path.split(".")
        message = parameter
        for step in outer:
            message = getattr(message, step)
        message.ClearField(name)
    return layer.rewritten(parameter, layer.blobs), f"without {', '.join(path for path, _, _ in fields)}"


def _is_default(field: Any, value: Any) -> bool:
    return field.message_type is None and not hasattr(value, "append") and bool(value == field.default_value)
