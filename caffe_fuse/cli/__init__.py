"""The command `caffe-fuse`: its options, what each command calls, its exit status, and the only way to the terminal.

Imports everything; nothing imports it. No module is loaded before its command needs it: `--help` is quick.
"""

from .process import console, main

__all__ = ["console", "main"]
