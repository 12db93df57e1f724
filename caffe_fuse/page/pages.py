"""The HTML forms of a report: one self-contained file. fold.html, check.html and verify.html say what is in it."""

from __future__ import annotations

import base64
import hashlib
import platform
import shlex
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from google import protobuf

from .. import __version__
from ..errors import InputError
from ..files.outputs import Written
from ..folding.check import Checked
from ..folding.diagnosis import Diagnosis
from ..folding.report import Report
from ..half.rounding import HalfPolicy
from ..judging.answers import HalfAnswer
from ..judging.outcome import Verification
from ..net.model import Model
from ..ranges.expected import Activation
from ..report.cost_table import UNKNOWN, cost_rows
from ..wording import Typed, counted, shown
from . import layers, lists, numbers, story
from .charts import Chart, Quality, qualities, shares
from .layers import MOST_CHANNELS
from .tables import Table

OUTPUTS = 4  # how many are shown of each net
SHARES = 24  # blobs of the chart of differences


def to_html(report: Report, outputs: Sequence[Written], words: Sequence[str] = ()) -> str:
    """The page of a fold. words: of the command. Raises InputError if the extra `report` is not installed."""
    rows = layers.of_fold(report)
    files = [report.typed.files, [output.temporary for output in outputs]] if outputs else ()
    paths = [output.path for output in outputs]
    content = {
        "title": report.name,
        **_headline(report, report.after.policy),
        "answers": story.of_fold(report, paths),
        "report": report,
        "outputs": paths,
        "lists": lists,
        "policy": report.after.policy,
        "proof": None if report.verification is None else _proof(report.verification, _fold_titles(report)),
        "before": layers.sums_of(report.before.rows),
        "after": layers.sums_of(report.after.rows),
        "cost": numbers.of_cost(cost_rows(report.savings, files, every_type=True)),
        "savings": _savings(numbers.of_cost(cost_rows(report.savings, files))),
        "layers": numbers.of_layers(rows, is_fold=True),
        "outside": numbers.of_channels(layers.overflowing(report.before_channels), MOST_CHANNELS),
        **_of_channels(report.before_channels, report.after_channels),
        **_of_activations(report.activations.after, report.activations.sigmas),
        "weights": layers.weight_charts(rows),
    }
    return _rendered("fold.html", content, words)


def check_to_html(checked: Checked, words: Sequence[str] = ()) -> str:
    """The page of `check`. words: of the command. Raises InputError if the extra `report` is not installed."""
    rows = layers.of_net(checked.half)
    content = {
        "title": checked.model.name,
        **_headline(checked, checked.half.policy),
        "answers": story.of_check(checked),
        "report": checked,
        "lists": lists,
        "policy": checked.half.policy,
        "after": layers.sums_of(checked.half.rows),
        "layers": numbers.of_layers(rows, is_fold=False),
        **_of_channels(None, checked.channels),
        **_of_activations(checked.activations.before, checked.activations.sigmas),
        "weights": layers.weight_charts(rows),
    }
    return _rendered("check.html", content, words)


def verify_to_html(
    models: Tuple[Model, Model],
    found: Verification,
    typed: Typed,
    warnings: Sequence[str] = (),
    words: Sequence[str] = (),
) -> str:
    """The page of `verify`. typed: for the command that is suggested next. words: of the command.

    Raises InputError if the extra `report` is not installed.
    """
    first, second = models
    ordered = numbers.by_share(found)
    content = {
        "title": first.name if first.name == second.name else f"{first.name} and {second.name}",
        "mood": "bad" if found.problems else "",
        "headline": "",
        "answers": story.of_verify((first.name, second.name), found, typed),
        "report": found,
        "warnings": warnings,
        "files": [first.paths, second.paths],
        "proof": _proof(found, ("A", "", "B")),
        "picture": shares(
            "How much of the allowed difference each blob uses",
            "largest difference in float32, as a share of what is allowed",
            [(row.blob, row.share, f"blob-{place}") for place, row in enumerate(ordered[:SHARES])],
        ),
        "blobs": numbers.of_blobs(found),
    }
    return _rendered("verify.html", content, words)


def _of_channels(before: Optional[Diagnosis], after: Diagnosis) -> Dict[str, Any]:
    """The channels of a net. before: those before a fold, if there was one."""
    listed = layers.listed(after)
    links = {each.link for each in listed[:MOST_CHANNELS]}
    return {
        "states": after.states,
        "strips": layers.strips(before, after, links),
        "channels": numbers.of_channels(listed, MOST_CHANNELS),
    }


def _of_activations(known: Sequence[Activation], sigmas: float) -> Dict[str, Any]:
    activations = layers.by_size(known)
    return {
        "activations": activations,
        "activation_chart": layers.activation_chart(activations),
        "activation_table": numbers.of_activations(activations),
        "sigmas": sigmas,
    }


def _headline(report: Union[Report, Checked], policy: HalfPolicy) -> Dict[str, Any]:
    """The colour of the verdict, and simpler words for it if half precision was looked at and is safe."""
    verification = report.verification if isinstance(report, Report) else None
    if report.problems or not policy.checked:
        return {"mood": "bad" if report.problems else "", "headline": ""}
    if verification is not None and any(answer.rough for answer in verification.after):
        return {"mood": "rough", "headline": "The weights fit half precision; the answers are rough there"}
    return {"mood": "", "headline": "Safe in half precision"}


def _fold_titles(report: Report) -> Sequence[str]:
    return ("before the fold", "folded", "repaired") if report.rescaled else ("before the fold", "", "folded")


def _savings(cost: Table) -> List[Tuple[str, str, str]]:
    """The name of each row of the whole net, and its cells before and after."""
    rows = [[cell if isinstance(cell, str) else cell.words for cell in row.cells] for row in cost.rows]
    known = (cells for cells in rows if UNKNOWN not in cells[1:3])
    return [(cells[0], cells[1], cells[2]) for cells in known if not cells[0].startswith(" ")]


def _proof(found: Verification, titles: Sequence[str]) -> Dict[str, Any]:
    """The outputs in half precision. titles: of the nets; "" for one that is not shown."""
    nets = [(title, answers) for title, answers in zip(titles, found.in_half) if title and answers]
    outputs = list(zip(*(answers for _, answers in nets)))
    outputs.sort(key=lambda answers: story.badness(answers[-1]))
    shown_first = [list(zip((title for title, _ in nets), answers)) for answers in outputs[:OUTPUTS]]
    return {
        "outputs": [(each[0][1].blob, _quality_chart(each), numbers.of_answers(each)) for each in shown_first],
        "hidden": len(outputs) - len(shown_first),
    }


def _quality_chart(nets: Sequence[Tuple[str, HalfAnswer]]) -> Chart:
    """One output in each of the nets, which have titles."""
    rows = []
    for place, (title, answer) in enumerate(nets):
        words = "a different shape" if answer.snr != answer.snr else ""
        if answer.not_finite:
            words = f"none: {counted(answer.not_finite, 'value')} NaN or infinite"
        rows.append(Quality(title, "after" if place else "before", answer.snr, words))
    return qualities(f"The SNR of output {nets[0][1].blob} in half precision", rows)


def _rendered(template: str, content: Dict[str, Any], words: Sequence[str]) -> str:
    environment = _environment()
    script = environment.get_template("page.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    foot = {
        "command": shown(shlex.join(["caffe-fuse", *words])) if words else "",
        "versions": {
            "caffe_fuse": __version__,
            "Python": platform.python_version(),
            "numpy": np.__version__,
            "protobuf": protobuf.__version__,
        },
        "date": _now(),
        "script": script,
        "digest": digest,
    }
    return str(environment.get_template(template).render({**content, **foot}))


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _environment() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise InputError("the HTML report needs jinja2", remedy="pip install 'caffe-fuse[report]'") from error
    environment = Environment(
        loader=PackageLoader("caffe_fuse.page", "."),
        autoescape=True,  # names of layers and blobs are arbitrary text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = "{:.4g}".format
    environment.filters["thousands"] = "{:,}".format
    environment.filters["counted"] = counted
    return environment
