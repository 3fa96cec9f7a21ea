"""Ctrl-C ends a run between two updates, not in the middle of one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class CtrlC:
    """While this is entered, Ctrl-C raises KeyboardInterrupt, and where it is held off, later.

    So an update, or an entry in the history, is made whole or not at all; if it takes too long, a
    second Ctrl-C interrupts it all the same. The first is held off from the beginning, to the end
    of the first `held_off`. A program that has a handler of its own keeps it;
    so does a thread, which gets no signals, and whoever does not want all this.

    >>> try:
    ...     with CtrlC() as ctrl_c, ctrl_c.held_off():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("made whole")
    ... except KeyboardInterrupt:
    ...     print("then interrupted")
    made whole
    then interrupted
    """

    def __init__(self, wanted: bool = True):
        self.wanted = wanted
        self.came, self.held, self.installed = False, True, False
        self.leaving = False

    def __enter__(self) -> "CtrlC":
        if self.wanted and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            try:
                signal.signal(signal.SIGINT, self._handle)
                self.installed = True
            except ValueError:  # not in the main thread
                pass
        return self

    def __exit__(self, *error) -> None:
        if self.installed and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, signum, frame) -> None:
        again, self.came = self.came, True
        # another one must not strike while the first is dealt with; but what hangs can be stopped
        if not self.leaving and (again or not self.held):
            self._interrupt()

    def _interrupt(self) -> None:
        self.leaving = True
        raise KeyboardInterrupt

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """What is in here is not interrupted; a Ctrl-C that came raises at its end."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
        if self.came:
            self._interrupt()
