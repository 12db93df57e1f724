"""`caffe-fuse --version`, and with -v what the command runs on: for a report of a defect, or a missing extra."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from typing import Any, Dict, List, Optional

from .. import __version__

_NEEDED = ("numpy", "protobuf", "h5py", "tqdm")
_GIVES = {
    "image": "images as inputs (--image)",
    "report": "the report as a page (--html)",
    "dask": "many models on a cluster (--dask)",
}


def version_lines(verbose: bool) -> List[str]:
    lines = [f"caffe-fuse {__version__}"]
    if verbose:
        python = f"{platform.python_version()} ({sys.executable}), {platform.system()} {platform.machine()}"
        rows = {"Python": python, **{name: _version(name) or "missing" for name in _NEEDED}, "BLAS": _blas()}
        rows["h5py"] += f", HDF5 {_hdf5()}"
        lines += [f"  {title:<10} {value}" for title, value in rows.items()]
        lines += [f"  {f'[{extra}]':<10} {_extra(extra)}" for extra in _GIVES]
    return lines


def _version(package: str) -> Optional[str]:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extra(extra: str) -> str:
    """Whether the packages of an extra are there, and if not, what it would give."""
    found: Dict[str, Optional[str]] = {package: _version(package) for package in _packages(extra)}
    if all(found.values()):
        return ", ".join(f"{package} {version}" for package, version in found.items())
    return f"missing: pip install 'caffe-fuse[{extra}]' gives {_GIVES[extra]}"


def _packages(extra: str) -> List[str]:
    required = metadata.requires("caffe-fuse") or ()
    marked = (line for line in required if re.search(rf"""extra == ['"]{extra}['"]""", line))
    return [re.split(r"[^\w.-]", line)[0] for line in marked]


def _blas() -> str:
    """What numpy multiplies matrices with."""
    import numpy as np

    built = getattr(np.__config__, "CONFIG", None)  # since numpy 1.25, where it was built with Meson
    if built is not None:
        blas = built["Build Dependencies"]["blas"]
        return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    old: Any = np.__config__
    libraries = old.get_info("blas_opt_info").get("libraries", ["unknown"])
    return ", ".join(dict.fromkeys(libraries))


def _hdf5() -> str:
    import h5py

    return str(h5py.version.hdf5_version)
