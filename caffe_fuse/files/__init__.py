"""The safe end of the disk: outputs that appear complete and together or not at all, and what a signal may cut off.

Imports no other room. It knows bytes and paths, never what is in them.
"""
