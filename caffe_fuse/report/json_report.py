"""The JSON form of a report, `"schema": 1`. Names are stable; NaN and infinity are strings."""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Union

from .. import __version__
from ..files.outputs import Written
from ..folding.check import Checked
from ..folding.diagnosis import STATES, BlobChannels, Diagnosis
from ..folding.report import Asked, Report
from ..half.rounding import HalfPolicy
from ..judging.agreement import Ranking
from ..passes import Move, Refused, Rewrite
from ..ranges.expected import Activation, Activations
from ..rescale.rescale import Unrepaired
from ..wording import Typed

if TYPE_CHECKING:
    from ..judging.answers import HalfAnswer
    from ..judging.outcome import Verification

Number = Union[int, float, str]


def to_json(report: Report, outputs: Sequence[Written]) -> str:
    """The JSON report of a fold. Reads all files once more for their sha256."""
    content = {
        "schema": 1,
        "tool": {"name": "caffe_fuse", "version": __version__},
        "inputs": [_file(path, path) for path in report.typed.files],
        "outputs": [_file(*output) for output in outputs],
        "folded": [_folded(rewrite) for rewrite in report.folded],
        "converted": [_converted(rewrite) for rewrite in report.converted],
        "carried": [_carried(move) for move in report.carried],
        "target": None if report.target is None else _target(report.target),
        "simplified": [
            {"layer": layer.name, "type": layer.type, "reason": reason} for layer, reason, _ in report.simplified
        ],
        "refused": [_refused(refused, report.typed) for refused in report.refused],
        "batch_norms": [{"layer": layer.name, "type": layer.type, "line": layer.line} for layer in report.remaining],
        "vanished_blobs": dict(report.vanished_blobs),
        "cost": {moment: cost._asdict() for moment, cost in report.savings._asdict().items()},
        "half": _half(report),
        "rescaled": [{"blob": name, "channel_exponents": list(found)} for name, found in report.rescaled.items()],
        "unrepaired": [_unrepaired(unrepaired) for unrepaired in report.unrepaired],
        "predicted_activations": _activations(report.activations),
        "verification": None if report.verification is None else verification(report.verification),
        "dropped": [{"layer": layer.name, "type": layer.type} for layer in report.dropped],
        "warnings": list(report.warnings),
        "problems": list(map(str, report.problems)),
        "verdict": report.verdict,
        "next": list(report.next),
        "status": report.status,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def check_to_json(found: Checked) -> str:
    """The report of `check`."""
    content = {
        "schema": 1,
        "tool": {"name": "caffe_fuse", "version": __version__},
        "inputs": [_file(path, path) for path in found.typed.files],
        "half": half_document(found.half.policy, before=found.channels),
        "predicted_activations": _activations(found.activations),
        "target": None if found.target is None else _target(found.target),
        "warnings": list(found.warnings),
        "problems": list(map(str, found.problems)),
        "verdict": found.verdict,
        "next": list(found.next),
        "status": found.status,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def verify_to_json(inputs: Sequence[str], found: Verification, status: int) -> str:
    """The report of `verify`."""
    content = {
        "schema": 1,
        "tool": {"name": "caffe_fuse", "version": __version__},
        "inputs": [_file(path, path) for path in inputs],
        "verification": verification(found),
        "problems": list(map(str, found.problems)),
        "verdict": found.verdict,
        "status": status,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def verification(found: Verification) -> Dict[str, Any]:
    difference = found.first_difference
    return {
        "equal": found.equal,
        "tolerance": found.tolerance,
        "min_snr": found.min_snr,
        "first_difference": None if difference is None else {"layer": difference.layer, "blob": difference.blob},
        "blobs": [
            {name: _plain(value) for name, value in {**row._asdict(), "equal": row.equal}.items()} for row in found.rows
        ],
        "unavailable": dict(found.unavailable),
        "half": {
            moment: [_answer(each) for each in getattr(found, moment)] for moment in ("before", "unrepaired", "after")
        },
    }


def _answer(answer: HalfAnswer) -> Dict[str, Any]:
    named = {name: _plain(value) for name, value in answer._asdict().items()}
    return {
        **named,
        "numbers": [_number(number) for number in answer.numbers],
        "top5": [{"half": _ranking(row.half), "float32": _ranking(row.float32)} for row in answer.top5],
    }


def _ranking(best: Ranking) -> List[Dict[str, Any]]:
    return [{"class": place, "number": _number(number)} for place, number in best]


def _plain(value: Any) -> Any:
    return _number(value) if isinstance(value, float) else value


def half_document(policy: HalfPolicy, **nets: Diagnosis) -> Dict[str, Any]:
    """For each net, a row for each blob and the counts of channels by state. nets: by moment ("before", "after")."""
    result: Dict[str, Any] = {"policy": policy.name}
    result.update({name: [_half_row(blob) for blob in found.rows] for name, found in nets.items()})
    result["channels"] = {name: {state: found.states[state] for state in STATES} for name, found in nets.items()}
    return result


def _half(report: Report) -> Dict[str, Any]:
    flushed = report.flushed
    found = half_document(report.after.policy, before=report.before_channels, after=report.after_channels)
    return {**found, "flushed": None if flushed is None else flushed._asdict()}


def _file(path: str, place: str) -> Dict[str, Union[str, int, None]]:
    if not os.path.isfile(place):  # a pipe, which is read once
        return {"path": path, "sha256": None, "bytes": None}
    digest, size = hashlib.sha256(), 0
    with open(place, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
            size += len(piece)
    return {"path": path, "sha256": digest.hexdigest(), "bytes": size}


def _folded(rewrite: Rewrite) -> Dict[str, Any]:
    return {
        "layer": rewrite.after.name,
        "type": rewrite.after.type,
        "absorbed": [{"layer": layer.name, "type": layer.type} for layer in rewrite.absorbed],
        "top": rewrite.after.tops[0],
    }


def _target(asked: Asked) -> Dict[str, Any]:
    return {
        "name": asked.target.name,
        "changed": [
            {"demand": each.demand, "layer": each.layer.name, "type": each.layer.type, "what": each.what}
            for each in asked.changes
        ],
        "not_taken": [
            {
                "demand": each.demand,
                "layer": None if each.layer is None else each.layer.name,
                "line": None if each.layer is None else each.layer.line,
                "effect": each.effect,
                "what": each.what,
                "remedy": each.remedy or None,
            }
            for each in asked.left
        ],
        "renamed_blobs": dict(asked.renamed),
    }


def _carried(move: Move) -> Dict[str, Any]:
    parts = ("layers", move.chain), ("through", move.through)
    return {
        **{name: [{"layer": layer.name, "type": layer.type} for layer in layers] for name, layers in parts},
        "into": [layer.name for layer in move.absorbing],
    }


def _converted(rewrite: Rewrite) -> Dict[str, Any]:
    return {
        "layer": rewrite.after.name,
        "from": rewrite.target.type,
        "to": rewrite.after.type,
        "absorbed": [{"layer": layer.name, "type": layer.type} for layer in rewrite.absorbed],
        "top": rewrite.after.tops[0],
        "reason": rewrite.reason,
    }


def _refused(refused: Refused, typed: Typed) -> Dict[str, Any]:
    layer = refused.layer
    return {
        "layer": layer.name,
        "type": layer.type,
        "rule": refused.rule,
        "reason": refused.reason,
        "remedy": None if refused.remedy is None else refused.remedy.in_full(typed),
        "line": layer.line,
    }


def _unrepaired(unrepaired: Unrepaired) -> Dict[str, Any]:
    return {
        "layer": unrepaired.layer.name,
        "blob": unrepaired.blob,
        "channels": list(unrepaired.channels),
        "overflow": unrepaired.overflow,
        "reason": unrepaired.reason,
    }


def _half_row(blob: BlobChannels) -> Dict[str, Any]:
    row, stats = blob.row, blob.row.stats
    worst: Optional[Dict[str, Any]] = None
    if stats.worst is not None:
        worst = {"index": stats.worst.index, "channel": row.channel, "value": _number(stats.worst.value)}
    return {
        "layer": row.layer,
        "blob": row.blob,
        "max_abs": stats.max_abs,
        "min_nonzero": stats.min_nonzero,
        "overflow": stats.overflow,
        "clipped": stats.clipped,
        "subnormal": stats.subnormal,
        "underflow": stats.underflow,
        "zeros": stats.zeros,
        "nan": stats.nan,
        "inf": stats.inf,
        "worst": worst,
        "max_relative_error": stats.max_relative_error,
        "margin": _number(blob.margin),
        "snr": _number(blob.snr),
        "channels": [{name: _plain(value) for name, value in channel._asdict().items()} for channel in blob.channels],
    }


def _activations(found: Activations) -> Dict[str, Any]:
    return {
        "sigmas": found.sigmas,
        "before": [_activation(activation) for activation in found.before],
        "after": [_activation(activation) for activation in found.after],
        "sums": [
            {
                "layer": bound.layer,
                "terms": bound.terms,
                "max_abs": _number(float(bound.bounds.max())),
                "channel": int(bound.bounds.argmax()),
                "overflow": bound.overflow.tolist(),
            }
            for bound in found.sums
        ],
    }


def _activation(found: Activation) -> Dict[str, Any]:
    lows, highs = found.range
    magnitudes, recorded = found.range.magnitudes, found.recorded
    return {
        "layer": found.layer,
        "blob": found.blob,
        "channels": found.range.channels,
        "low": _number(float(lows.min())),
        "high": _number(float(highs.max())),
        "max_abs": _number(float(magnitudes.max())),
        "channel": int(magnitudes.argmax()),
        "overflow": found.overflow.tolist(),
        "subnormal": found.subnormal.tolist(),
        "recorded": None if recorded is None else {**recorded.kinds, "histogram": recorded.exponents()},
    }


def _number(value: float) -> Number:
    return value if math.isfinite(value) else str(value)


__all__: List[str] = ["check_to_json", "half_document", "to_json"]
