"""BatchNorm in all its dialects: Caffes differ in which numbers the blobs hold, in which order, and in the formula.

table.py lists them, dialect.py says what one is, read.py gives its affine and forward.py what it computes.
"""

from __future__ import annotations

from .dialect import Dialect, settings_of, unsettled
from .table import DIALECTS, LAYER_TYPES, TYPES

__all__ = ["DIALECTS", "LAYER_TYPES", "TYPES", "Dialect", "settings_of", "unsettled"]
