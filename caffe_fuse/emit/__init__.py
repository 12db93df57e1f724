"""From a net that changed to two files: edits of the text, records of the weights, and the safe way to the disk."""

from ..files.outputs import Outputs, Pending, Written, check_folder, failure
from .dropped import dropped_layers
from .formats import in_half, planned, stored
from .records import plan
from .text import edits

__all__ = [
    "Outputs",
    "Pending",
    "Written",
    "check_folder",
    "dropped_layers",
    "edits",
    "failure",
    "in_half",
    "plan",
    "planned",
    "stored",
]
