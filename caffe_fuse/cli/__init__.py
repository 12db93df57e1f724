from .process import console, main

__all__ = ["console", "main"]
