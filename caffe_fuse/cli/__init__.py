"""The command `caffe-fuse`: its options, what each command calls, its exit status, and all output to the terminal.

Imports every room; no room imports it. A module is loaded only when its command needs it: `--help` is fast.
"""

from .process import console, main

__all__ = ["console", "main"]
