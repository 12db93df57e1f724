"""The forms of a report as lines for the terminal and as JSON; and what `show` prints.

Imports `folding` and its imports. It words and lays out facts that other rooms have determined.
"""
