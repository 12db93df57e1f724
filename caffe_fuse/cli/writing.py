"""The files that commands write in addition to models."""

from __future__ import annotations

import argparse
from typing import Any, Dict, Optional, Sequence

from ..errors import InputError


def check_folders(*outputs: Optional[str]) -> None:
    """Reports missing folders before the work, which may take long, and not only when a file is written."""
    from ..files.outputs import check_folder

    for output in outputs:
        if output:
            check_folder(output)


def reports_asked_for(options: argparse.Namespace) -> Dict[str, Any]:
    """The function that renders each requested report, by its path."""
    wanted: Dict[str, Any] = {}
    if options.report:
        from ..report.json_report import to_json

        wanted[options.report] = to_json
    if options.html:
        from ..report.page import to_html

        wanted[options.html] = to_html
    if options.report and options.html and len(wanted) < 2:
        raise InputError(f"--report and --html both name {options.html}", remedy="give each its own file")
    return wanted


def write_report(path: str, text: str, others: Sequence[str]) -> None:
    from ..files.outputs import Outputs

    with Outputs(others) as outputs:
        outputs.create(path).write_all(text.encode())
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
