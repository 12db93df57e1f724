"""The exceptions of caffe_fuse; every error that a user can cause derives from CaffeFuseError."""

from __future__ import annotations

from typing import Optional, Tuple


class CaffeFuseError(Exception):
    """Base of all errors. `str()` reads "WHERE: what is wrong; what to do".

    where: "FILE", "FILE:LINE:COL", "FILE: layer L, blob N" or None. `exit_status` is the command's status.
    """

    exit_status = 2

    def __init__(self, what: str, *, where: Optional[str] = None, remedy: Optional[str] = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = what if where is None else f"{where}: {what}"
        super().__init__(message if remedy is None else f"{message}; {remedy}")

    @property
    def lines(self) -> Tuple[str, ...]:
        """The lines of the message as they are printed."""
        return (str(self),)


class InputError(CaffeFuseError):
    """A file or an option cannot be used."""


class TextError(InputError):
    """A prototxt is not protobuf text; the message shows the line with a caret under the column."""

    def __init__(
        self,
        what: str,
        *,
        where: Optional[str] = None,
        remedy: Optional[str] = None,
        line: str = "",
        column: int = 0,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.line = line
        self.column = column

    @property
    def lines(self) -> Tuple[str, ...]:
        message = super().__str__()
        return (message, f"  {self.line}", f"  {' ' * (self.column - 1)}^") if self.line else (message,)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class UnsafeResult(CaffeFuseError):
    """The result is not safe to run in half precision, or its verification failed."""

    exit_status = 1


class SystemFailure(CaffeFuseError):
    """The system refused: disk full, no permission, an output that cannot be replaced."""

    exit_status = 3


class InternalError(CaffeFuseError):
    """A defect of caffe_fuse itself, found by one of its own checks."""

    exit_status = 3
