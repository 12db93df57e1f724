"""The files that commands write in addition to models."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from ..errors import InputError


def check_folders(*outputs: Optional[str]) -> None:
    """Reports missing folders before the work, which may take long, and not only when a file is written."""
    from ..files.outputs import check_folder

    for output in outputs:
        if output:
            check_folder(output)


def reports_asked_for(options: argparse.Namespace) -> Dict[str, Any]:
    """The function that renders each requested report of the command, by its path."""
    wanted: Dict[str, Any] = {}
    kind = {"fuse": ""}.get(options.command, f"{options.command}_")
    if options.report:
        from ..report import json_report

        wanted[options.report] = getattr(json_report, f"{kind}to_json")
    if options.html:
        from ..report import page

        words = (options.command, *options.words)
        wanted[options.html] = partial(getattr(page, f"{kind}to_html"), words=words)
    if options.report and options.html and len(wanted) < 2:
        raise InputError(f"--report and --html both name {options.html}", remedy="give each its own file")
    return wanted


def write_reports(reports: Mapping[str, Callable[[], str]], others: Sequence[str]) -> None:
    """Writes all reports or none. others: files that no report may be."""
    from ..files.outputs import Outputs

    with Outputs(others) as outputs:
        files = [outputs.create(path) for path in reports]
        for file, render in zip(files, reports.values()):
            file.write_all(render().encode())
        outputs.commit()


def write_arrays(path: str, arrays: Dict[str, Any], others: Sequence[str]) -> None:
    """Writes arrays as numpy.savez does, which accepts no array named `file`."""
    import io
    import zipfile

    import numpy as np

    from ..files.outputs import Outputs

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    with Outputs(others) as outputs:
        outputs.create(path).write_all(buffer.getvalue())
        outputs.commit()
