"""What a fold did, refused and found: one Report, and its forms."""

from .report import Report

__all__ = ["Report"]
