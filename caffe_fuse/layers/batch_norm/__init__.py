"""BatchNorm in all its dialects: Caffes differ in which numbers the blobs hold, in which order, and in the formula.

table.py lists them, dialect.py says what one is, read.py gives its affine and forward.py what it computes.
"""

from __future__ import annotations

from .dialect import Dialect, settings_of, unsettled
from .table import DIALECTS, ROWS, TYPES

__all__ = ["DIALECTS", "ROWS", "TYPES", "Dialect", "settings_of", "unsettled"]
