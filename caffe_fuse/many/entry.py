"""The entry of a model in the joint report: what was done with it, from which inputs, and what came of it."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import __version__
from .jobs import Job
from .outcome import Outcome, Summary

Perform = Callable[[Sequence[str]], Outcome]


class Finished(NamedTuple):
    """A job that is done. text: its entry as JSON on one line, "" if no report is asked for."""

    status: int
    summary: Optional[Summary]
    lines: Tuple[str, ...]
    warnings: Tuple[str, ...]
    errors: Tuple[str, ...]
    text: str = ""


def finished(perform: Perform, job: Job, reported: bool) -> Finished:
    """Does the job; runs in another process."""
    outcome = perform(job.words)
    text = json.dumps(_entry(job, outcome), allow_nan=False) if reported else ""
    return Finished(outcome.status, outcome.summary, outcome.lines, outcome.warnings, outcome.errors, text)


def lost(job: Job, reason: str, reported: bool) -> Finished:
    """The end of a job whose process died."""
    outcome = Outcome(3, errors=(f"{job.net}: {reason}",))
    text = json.dumps(_entry(job, outcome), allow_nan=False) if reported else ""
    return Finished(3, None, (), (), outcome.errors, text)


def _entry(job: Job, outcome: Outcome) -> Dict[str, Any]:
    report = None if outcome.document is None else json.loads(outcome.document())
    read = [] if report is None else [*report["inputs"], *report.get("outputs", [])]
    known: Dict[str, str] = {file["path"]: file["sha256"] for file in read}
    inputs = {path: known.get(path) or sha256(path) for path in job.inputs}
    summary = outcome.summary
    return {
        "net": job.net,
        "weights": job.weights,
        "options": list(job.options),
        "inputs": inputs,
        "digest": digest(job, inputs),
        "status": outcome.status,
        "verdict": None if summary is None else summary.verdict,
        "counts": {} if summary is None else dict(summary.counts),
        "next": [] if summary is None else list(summary.next),
        "outputs": {path: known.get(path) or sha256(path) for path in outcome.written},
        "error": "\n".join(outcome.errors) or None,
        "report": report,
    }


def digest(job: Job, inputs: Mapping[str, Optional[str]]) -> str:
    """A hash of all that the result depends on: this version, the command line, and the content of the files."""
    return hashlib.sha256(json.dumps([__version__, job.words, list(inputs.items())]).encode()).hexdigest()


def sha256(path: str) -> Optional[str]:
    """The hash of a file, or of the names and contents of the files in a folder; None for what cannot be read twice."""
    found = hashlib.sha256()
    try:
        if os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                found.update(json.dumps([name, sha256(os.path.join(path, name))]).encode())
            return found.hexdigest()
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                found.update(piece)
        return found.hexdigest()
    except OSError:
        return None
