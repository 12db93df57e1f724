"""What a fold did, refused and found: one Report, and its forms."""

from ..folding.report import Checked, Report

__all__ = ["Checked", "Report"]
