"""The difference of two nets as edits of the text and as a plan for the weight file.

Imports `passes`, `weights`, `generations` and their imports. It never prints a whole message again: a field that
changed is an edit, everything else stays byte for byte.
"""

from .dropped import dropped_layers
from .formats import in_half, planned, stored
from .records import plan
from .text import edits

__all__ = ["dropped_layers", "edits", "in_half", "plan", "planned", "stored"]
