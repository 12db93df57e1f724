"""An engine on other machines: a cluster of dask.distributed, whose workers see the same files."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

from .. import __version__
from ..errors import InputError, SystemFailure
from .engines import Lost, Task

_SECONDS = 10  # until a scheduler answers


class Cluster:
    """The workers of a scheduler. If one dies, dask gives its tasks to another. Raises InputError if none answers."""

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise InputError("--dask needs dask.distributed", remedy="pip install 'caffe-fuse[dask]'") from error
        self._as_completed = distributed.as_completed
        try:
            self._client = distributed.Client(address, timeout=_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no scheduler of dask answers: {error}", where=address, remedy="give an address as tcp://HOST:8786"
            ) from error

    @property
    def width(self) -> int:
        threads: Dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def results(self, function: Callable[..., Any], tasks: Sequence[Task]) -> Iterator[Tuple[int, Any]]:
        home = os.getcwd()
        # Not the function and its task: dask takes a tuple that begins with a function for a task of its own.
        calls = [partial(function, *task) for task in tasks]
        places = {
            self._client.submit(_at_home, home, __version__, call, pure=False): place
            for place, call in enumerate(calls)
        }
        try:
            for future in self._as_completed(list(places), loop=self._client.loop):
                place = places.pop(future)
                error = future.exception()
                if isinstance(error, SystemFailure):
                    raise error
                yield place, future.result() if error is None else Lost(f"{type(error).__name__}: {error}")
                del future
        finally:
            self._client.cancel(list(places))
            self._client.close()


def _at_home(home: str, version: str, call: Callable[[], Any]) -> Any:
    """Makes the call on a worker, in the folder in which the command was given."""
    if version != __version__:
        raise SystemFailure(
            f"a worker has caffe_fuse {__version__}, this is {version}", remedy="install the same version on all"
        )
    with _FOLDER.at(home):
        return call()


class Folder:
    """The current folder of this process, which its threads share: those that need another one wait."""

    def __init__(self) -> None:
        self._left = threading.Condition()
        self._inside = 0

    @contextmanager
    def at(self, home: str) -> Iterator[None]:
        """Raises SystemFailure for a folder that is not there."""
        with self._left:
            self._left.wait_for(lambda: not self._inside or os.getcwd() == home)
            if os.getcwd() != home:
                try:
                    os.chdir(home)
                except OSError as error:
                    raise SystemFailure(
                        "a worker does not see this folder",
                        where=home,
                        remedy="use a file system that all workers have",
                    ) from error
            self._inside += 1
        try:
            yield
        finally:
            with self._left:
                self._inside -= 1
                self._left.notify_all()


_FOLDER = Folder()
