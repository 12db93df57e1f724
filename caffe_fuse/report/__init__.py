"""The forms of a report: terminal, JSON, HTML; and what `show` prints.

Imports `folding` and what is below. It words and lays out facts; it finds none.
"""
