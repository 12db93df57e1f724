"""BatchNorm in all its dialects: Caffes differ in what the blobs hold, in their order, and in the formula.

table.py lists the dialects, dialect.py defines what one is, read.py computes the statistics, forward.py the tops.
"""

from __future__ import annotations

from .dialect import Dialect, settings_of, unsettled
from .table import DIALECTS, LAYER_TYPES, TYPES

__all__ = ["DIALECTS", "LAYER_TYPES", "TYPES", "Dialect", "settings_of", "unsettled"]
