"""The JSON form of a report, `"schema": 1`. Names are stable; NaN and infinity are strings."""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from .. import __version__
from ..errors import InputError
from ..files.outputs import Written
from ..folding.check import Checked
from ..folding.diagnosis import STATES, BlobChannels, Diagnosis
from ..folding.report import Asked, Report
from ..folding.rows import document
from ..half.rounding import HalfPolicy
from ..judging.agreement import Ranking
from ..ranges.expected import Activation, Activations

if TYPE_CHECKING:
    from ..judging.answers import HalfAnswer
    from ..judging.outcome import Verification

Number = Union[int, float, str]


def to_json(report: Report, outputs: Sequence[Written]) -> str:
    """The JSON report of a fold."""
    return _dumped(fold_document(report, outputs))


def fold_document(report: Report, outputs: Sequence[Written]) -> Dict[str, Any]:
    """The report of a fold. Reads all files once more for their sha256."""
    return {
        "schema": 1,
        "tool": {"name": "caffe_fuse", "version": __version__},
        "inputs": [_file(path, path) for path in report.typed.files],
        "outputs": [_file(*output) for output in outputs],
        "folded": _documents(report.folded),
        "converted": _documents(report.converted),
        "carried": _documents(report.carried),
        "target": None if report.target is None else _target(report.target),
        "simplified": _documents(report.simplified),
        "refused": _documents(report.refused),
        "batch_norms": _documents(report.batch_norms),
        "vanished_blobs": dict(report.vanished_blobs),
        "cost": {moment: cost._asdict() for moment, cost in report.savings._asdict().items()},
        "half": _half(report),
        "rescaled": [{"blob": name, "channel_exponents": list(found)} for name, found in report.rescaled.items()],
        "unrepaired": _documents(report.unrepaired),
        "predicted_activations": _activations(report.activations),
        "verification": None if report.verification is None else verification(report.verification),
        "dropped": _documents(report.dropped),
        "warnings": list(report.warnings),
        "problems": list(map(str, report.problems)),
        "verdict": report.verdict,
        "next": list(report.next),
        "status": report.status,
    }


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
    return _dumped(content)


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
    return _dumped(content)


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
        "float32_numbers": [_number(number) for number in answer.float32_numbers],
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


def _dumped(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _documents(rows: Iterable[Any]) -> List[Dict[str, Any]]:
    return [document(row) for row in rows]


def _half(report: Report) -> Dict[str, Any]:
    flushed = report.flushed
    found = half_document(report.after.policy, before=report.before_channels, after=report.after_channels)
    return {**found, "flushed": None if flushed is None else flushed._asdict()}


def _file(path: str, place: str) -> Dict[str, Union[str, int, None]]:
    if os.path.exists(place) and not os.path.isfile(place):  # a pipe, which is read once
        return {"path": path, "sha256": None, "bytes": None}
    digest, size = hashlib.sha256(), 0
    try:
        with open(place, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise InputError(f"cannot be read for its sha256: {error.strerror}", where=path) from error
    return {"path": path, "sha256": digest.hexdigest(), "bytes": size}


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


__all__: List[str] = ["check_to_json", "fold_document", "half_document", "to_json"]
