"""The files that commands write in addition to models."""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ..errors import InputError
from .options import STDOUT


@contextmanager
def folders_made(options: argparse.Namespace) -> Iterator[None]:
    """Makes the folders that outputs name with a `/` at the end; those into which nothing was written go again.

    Raises SystemFailure where the system refuses; a folder that cannot be one is left to `check_outputs`.
    """
    made = [folder for folder in _new_folders(options) if _was_made(folder)]
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # it is not empty
                os.rmdir(folder)


def _new_folders(options: argparse.Namespace) -> Iterator[str]:
    given = vars(options)
    names = ["output", "html"] if given.get("many") else ["output"] if options.command in ("fuse", "upgrade") else []
    yield from (given[name] for name in names if (given[name] or "").endswith("/"))


def _was_made(folder: str) -> bool:
    from ..files.outputs import failure

    try:
        os.mkdir(folder)
        return True
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise failure(error, folder) from error


def check_outputs(options: argparse.Namespace, *outputs: Optional[str]) -> None:
    """Before the work, which may take long: the folders of outputs must exist, with --no-clobber no output itself.

    Raises InputError.
    """
    from ..files.outputs import check_folder

    for output in outputs:
        if output:
            check_folder(output)
            if options.no_clobber and os.path.lexists(output):
                raise InputError("exists already", where=output, remedy="choose another name, or omit --no-clobber")


def files_of(prefix: str) -> Tuple[str, ...]:
    """The files of a model that may be written: the format of its weights is that of its input."""
    from ..folding.save import stem_of
    from ..weights import FORMATS

    stem = stem_of(prefix)
    return (f"{stem}.prototxt", *(stem + format.suffix for format in FORMATS))


def report_file(options: argparse.Namespace) -> Optional[str]:
    """The file of the JSON report; None if there is none, or if it goes to stdout."""
    found: Optional[str] = options.report
    return None if found == STDOUT else found


def reports_asked_for(options: argparse.Namespace) -> Dict[str, Any]:
    """The function that renders each requested report of the command, by its path."""
    wanted: Dict[str, Any] = {}
    kind = {"fuse": ""}.get(options.command, f"{options.command}_")
    path = report_file(options)
    if path:
        from ..report import json_report

        wanted[path] = getattr(json_report, f"{kind}to_json")
    if options.html:
        from ..page import pages

        words = (options.command, *options.words)
        wanted[options.html] = partial(getattr(pages, f"{kind}to_html"), words=words)
    if path and options.html and len(wanted) < 2:
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
