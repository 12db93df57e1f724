"""The forms of a report: terminal, JSON, HTML; and what `show` prints.

Imports `folding` and its imports. It words and lays out facts that other rooms have determined.
"""
