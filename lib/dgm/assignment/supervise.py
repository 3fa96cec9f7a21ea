"""A function in a process of its own, with a limit for time and one for memory.

What it starts ends with it, however it hides: on Linux a process that outlives its parent comes to
this one, which ends it.
"""

import ctypes
import multiprocessing
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import psutil

POLL = 0.2  # seconds between looks at the memory in use
FILE = 2**28  # bytes of one file that the process may write
PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>


class Failed(Exception):
    """The function came to no end; the message says why."""


def supervised(work: Callable, *given, seconds: float, memory: int):
    """What the function returns.

    Args:
        work: called in a copy of this process.
        given: its arguments.
        seconds: by the clock; when they are over, the process and all that it started end.
        memory: bytes that each process may allocate, and that they may use together.

    Raises:
        Failed: a limit was met, the function raised, or its process ended.

    >>> supervised(sum, [1, 2], seconds=60, memory=2**32)
    3
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    others = set(psutil.Process().children())
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=answer, args=(sender, memory, work, given))
    process.start()
    sender.close()
    deadline = monotonic() + seconds
    try:
        while not receiver.poll(POLL):
            if monotonic() > deadline:
                raise Failed(f"stopped after {seconds} seconds")
            if used(others) > memory:
                raise Failed(f"stopped: it took more than {memory / 2**30:.1f} GiB of memory")
        returned, error = receiver.recv()
    except EOFError:
        raise Failed("the process that graded it was ended") from None
    finally:
        end(others)
        process.join()
    if error:
        raise Failed(error)
    return returned


def answer(sender, memory: int, work: Callable, given: tuple) -> None:
    """In the new process: set the limits, call the function, send what it returns or raises."""
    for what, limit in [
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CORE, 0),
    ]:
        _, most = resource.getrlimit(what)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(what, (limit, limit))
    try:
        said = work(*given), None
    except Failed as error:
        said = None, str(error)
    except Exception as error:
        said = None, f"{type(error).__name__}: {error}"
    sender.send(said)


def descendants(others: set[psutil.Process]) -> list[psutil.Process]:
    """The processes below this one, but for its other children and theirs."""
    own = [child for child in psutil.Process().children() if child not in others]
    found = list(own)
    for child in own:
        with suppress(psutil.NoSuchProcess):
            found += child.children(recursive=True)
    return found


def used(others: set[psutil.Process]) -> int:
    """Bytes of memory in use."""
    total = 0
    for process in descendants(others):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_info().rss
    return total


def end(others: set[psutil.Process]) -> None:
    """End all of them, and those that came to this process meanwhile."""
    while left := descendants(others):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)
