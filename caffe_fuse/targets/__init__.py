"""What the tools of vendors demand of a Caffe net: one row for each tool, and a file for each kind of demand.

Imports `half`, `net` and their imports. It never writes a file: a demand finds what a tool would refuse or get wrong,
and may change the net so that the tool takes it and the net computes the same.
"""

from .adapt import Adapted, adapted, findings
from .demand import Change, Demand, Finding, Target
from .table import TARGETS, TargetName, find

__all__ = ["TARGETS", "Adapted", "Change", "Demand", "Finding", "Target", "TargetName", "adapted", "find", "findings"]
