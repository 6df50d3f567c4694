"""Runs many independent calculations side by side: on threads, on processes, or on a Ray cluster.

Every result is kept in a folder under the digest of what it depends on, so a run that was killed
is taken up where it was, and where a task ran cannot be seen in what it returns. What the tasks
calculate, and in which order their results mean something, is the caller's business.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from counterpoise.errors import FixConfig, RetryLater
from counterpoise.ray_cluster import connected, needs
from counterpoise.sealed import Shelf, open_sealed, seal, unpack

Backend = Literal["local", "threads", "ray"]
Progress = Callable[[int, int], None]
Arrays = tuple[NDArray[Any], ...]

#: Times in a row that workers may be lost without a single new result before a run gives up.
MOST_LOSSES = 3
#: Seconds between looks at whether the run a process works for is still there.
_WATCH_S = 1.0
#: Distributions whose version decides the last bit of a result.
DECIDING = ("counterpoise", "lightgbm", "numpy", "scipy")


@dataclass(frozen=True)
class Task:
    """One calculation, the same wherever and whenever it runs.

    Attributes
    ----------
    key : str
        SHA-256, 64 hex digits, of everything the result depends on; :func:`counterpoise.sealed.
        digest` makes one. Tasks with equal keys are done once.
    function : callable
        Defined at the top of a module, so that a worker can import it. It is called with the
        shared arrays of the run, then with ``arguments``, and returns a plain array, text, or
        what JSON can hold (tuples come back as lists).
    arguments : tuple
        Small: they travel with every task.
    """

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = field(default=())


#: Does tasks in any order: key and sealed result of each.
_Stream = Callable[[Sequence[Task]], Iterator[tuple[str, bytes]]]


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in DECIDING}


def _work(versions: dict[str, str], shared: Arrays, task: Task) -> tuple[str, bytes]:
    """Do one task in a worker; its key and sealed result."""
    if _versions() != versions:
        here = ", ".join(f"{name} {number}" for name, number in _versions().items())
        asked = ", ".join(f"{name} {number}" for name, number in versions.items())
        raise FixConfig("versions on a worker", here, asked, "install the same on every machine")
    # A task that wrote to what it shares would answer differently on another backend.
    views = [np.asarray(array).view() for array in shared]
    for view in views:
        view.flags.writeable = False
    return task.key, seal(task.key, task.function(*views, *task.arguments))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)


@cache
def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: a killed one could not say so."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _work_in_process(
    parent: int, versions: dict[str, str], shared: Arrays, task: Task
) -> tuple[str, bytes]:
    """Do one task in a process of joblib, which does not outlive the run."""
    # Joblib does a single job where it is.
    if os.getpid() != parent:
        _end_with(parent)
    return _work(versions, shared, task)


def _work_on_ray(versions: dict[str, str], shared: Any, task: Task) -> tuple[str, bytes]:
    """Do one task in a Ray worker, which reads the shared arrays of its machine in place."""
    import ray

    return _work(versions, ray.get(shared), task)


def _on_threads(workers: int, shared: Arrays) -> _Stream:
    def stream(tasks: Sequence[Task]) -> Iterator[tuple[str, bytes]]:
        versions = _versions()
        pool = ThreadPoolExecutor(workers)
        try:
            futures = [pool.submit(_work, versions, shared, task) for task in tasks]
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    return stream


def _by_joblib(backend: Any, workers: int, work: Callable[..., Any], shared: Any) -> _Stream:
    """Do tasks by joblib; its own backends write shared arrays to a memory map once per run."""
    try:
        import joblib
    except ImportError as missing:
        raise needs(str(backend), missing) from None

    def stream(tasks: Sequence[Task]) -> Iterator[tuple[str, bytes]]:
        versions = _versions()
        with joblib.parallel_config(backend=backend, n_jobs=workers):
            # One task at a time: what is finished is handed over, and kept, at once.
            parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
            results = parallel(joblib.delayed(work)(versions, shared, task) for task in tasks)
        with closing(results):
            yield from results

    return stream


@contextmanager
def _processes(workers: int, shared: Arrays) -> Iterator[_Stream]:
    try:
        from joblib.externals.loky import get_reusable_executor
    except ImportError as missing:
        raise needs("local", missing) from None
    try:
        yield _by_joblib("loky", workers, partial(_work_in_process, os.getpid()), shared)
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


@contextmanager
def _on_ray(workers: int | None, address: str | None, shared: Arrays) -> Iterator[_Stream]:
    # Ray tells of workers that died on standard output, which is the caller's.
    with redirect_stdout(sys.stderr), connected(workers, address) as ray:
        from ray.util.joblib.ray_backend import RayBackend

        class Streaming(RayBackend):
            """Ray's backend of joblib, handing over each result when it is there."""

            supports_return_generator = True

        # Joblib runs a single job in this process, not on the cluster.
        jobs = max(workers or int(ray.cluster_resources()["CPU"]), 2)
        by_joblib = _by_joblib(Streaming(), jobs, _work_on_ray, ray.put(shared))

        def stream(tasks: Sequence[Task]) -> Iterator[tuple[str, bytes]]:
            try:
                yield from by_joblib(tasks)
            except ray.exceptions.RayTaskError as failed:
                # What a task itself raises comes back as it is: this is a worker that could not
                # even read the task.
                raise FixConfig(
                    "workers of",
                    address or "a local Ray",
                    f"every worker to have counterpoise ({failed.cause})",
                    "pip install 'counterpoise[cluster]', the same version, on every machine",
                ) from failed
            except ray.exceptions.RayError as lost:
                raise BrokenExecutor(str(lost).splitlines()[0]) from lost

        yield stream


@contextmanager
def _stream(
    backend: Backend, workers: int | None, address: str | None, shared: Arrays
) -> Iterator[_Stream]:
    if backend == "threads":
        yield _on_threads(workers or os.cpu_count() or 1, shared)
    elif backend == "local":
        with _processes(workers or os.cpu_count() or 1, shared) as stream:
            yield stream
    else:
        with _on_ray(workers, address, shared) as stream:
            yield stream


#: Does some more tasks, telling of progress: what :func:`opened` gives.
Runner = Callable[[Iterable[Task], Progress | None], list[Any]]


@contextmanager
def opened(
    *,
    backend: Backend = "local",
    folder: Path | None = None,
    workers: int | None = None,
    address: str | None = None,
    shared: Sequence[NDArray[Any]] = (),
) -> Iterator[Runner]:
    """Keep workers for several rounds of tasks, started when the first task is to be done.

    While Ray is in use, standard output of this process goes to standard error: Ray would tell of
    workers that died on it.

    Parameters
    ----------
    backend, folder, workers, address, shared
        As for :func:`run`.

    Yields
    ------
    callable
        From tasks and a ``progress`` (or None) to their results, as :func:`run`.
    """
    if backend not in get_args(Backend):
        raise FixConfig("backend", backend, "local, threads or ray", "use one of these")
    shelf = Shelf(folder)
    streams: list[_Stream] = []
    with ExitStack() as stack:

        def stream(tasks: Sequence[Task]) -> Iterator[tuple[str, bytes]]:
            if not streams:
                opening = _stream(backend, workers, address, tuple(shared))
                streams.append(stack.enter_context(opening))
            return streams[0](tasks)

        yield lambda tasks, progress: _run(list(tasks), shelf, stream, progress)


def run(
    tasks: Iterable[Task],
    *,
    backend: Backend = "local",
    folder: Path | None = None,
    workers: int | None = None,
    address: str | None = None,
    shared: Sequence[NDArray[Any]] = (),
    progress: Progress | None = None,
) -> list[Any]:
    """Results of tasks in their order, the same on every backend.

    Parameters
    ----------
    tasks : iterable of Task
    backend : str
        ``threads`` of this process, for functions that free the interpreter; ``local`` processes
        of this machine; or ``ray``.
    folder : Path, optional
        Where each result is kept as soon as it is there, one sealed file per key. What is there
        is not done again; what is damaged is. Runs at once may share it.
    workers : int, optional
        Tasks at a time; by default one per core of this machine or of the cluster. Joblib needs
        two or more of them to use Ray at all.
    address : str, optional
        A running Ray cluster, as Ray takes it (``host:6379``, or ``auto`` on one of its
        machines); without it a Ray of this machine alone is started for this run and taken down
        after it.
    shared : sequence of array
        First arguments of every function, read-only; sent to each machine once.
    progress : callable, optional
        Called as ``progress(results there, results in all)``.

    Returns
    -------
    list
        One result per task, each as it was read back from what is kept.

    Raises
    ------
    FixConfig
        A backend that does not exist or whose packages are missing, a cluster that does not
        answer, or one whose workers have other versions.
    RetryLater
        Workers were lost again and again without a result.
    Exception
        What a task raised; results that were there by then are kept.
    """
    with opened(
        backend=backend, folder=folder, workers=workers, address=address, shared=shared
    ) as runner:
        return runner(tasks, progress)


def _run(
    tasks: Sequence[Task], shelf: Shelf, stream: _Stream, progress: Progress | None
) -> list[Any]:
    """Read what is kept, do the rest, and begin again with what a lost worker left undone."""
    there: dict[str, bytes] = {}
    todo: dict[str, Task] = {}
    for task in tasks:
        if task.key not in there and task.key not in todo:
            sealed = shelf.read(task.key)
            if sealed is None:
                todo[task.key] = task
            else:
                there[task.key] = sealed
    of = len(there) + len(todo)

    def tell() -> None:
        if progress is not None:
            progress(len(there), of)

    tell()
    losses = 0
    while todo:
        try:
            for key, sealed in stream(list(todo.values())):
                shelf.keep(key, sealed)
                there[key] = sealed
                del todo[key]
                losses = 0
                tell()
        except BrokenExecutor as lost:
            losses += 1
            if losses == MOST_LOSSES:
                raise _given_up(len(todo), of, lost) from None
    return [unpack(open_sealed(task.key, there[task.key])) for task in tasks]


def _given_up(missing: int, of: int, lost: BrokenExecutor) -> RetryLater:
    reason = str(lost).splitlines()[0] if str(lost) else type(lost).__name__
    return RetryLater(
        f"workers were lost {MOST_LOSSES} times in a row with {missing} of {of} results missing "
        f"({reason}). Next: use fewer workers or more memory and run this again; what is kept is "
        "not done again."
    )
