"""The process: standard streams that never fail, signals that interrupt, libraries that are quiet."""

import _thread
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from saevit.measure.interrupts import ENDING
from saevit_cli.output import INTERRUPTED


class Tap(io.FileIO):
    """A standard stream that takes everything; the first failure is kept, and what follows goes nowhere."""

    problem: OSError | None = None

    def write(self, data: Any) -> int:
        """Write what can be written."""
        if self.problem is None:
            try:
                return super().write(data)
            except OSError as error:
                self.problem = error
        return len(data)


def open_streams() -> Tap | None:
    """Let stdout and stderr never fail, and escape what they cannot encode; return stdout if it is open.

    What is closed leads nowhere from now on, so that no file of ours takes its number.
    """
    is_open = sys.stdout is not None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number: this
    taps = {name: Tap(number, "w", closefd=False) for name, number in (("stdout", 1), ("stderr", 2))}
    for name, tap in taps.items():
        encoding, by_line = getattr(getattr(sys, name), "encoding", "utf-8"), name == "stderr" or tap.isatty()
        buffer = io.BufferedWriter(tap)
        stream = io.TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=by_line)
        setattr(sys, name, stream)
    return taps["stdout"] if is_open else None


@contextmanager
def obeyed_signals() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, here and not in processes that are forked.

    Yield the signals that came: a library may catch the interrupt and go on with something half done. A
    signal that is ignored, as nohup and a shell's `&` set it, stays ignored. After the block each ends the
    process at once: nothing is left to be lost.
    """
    came: list[int] = []
    ours = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]

    def handle(handler: Any) -> None:
        for number in ours:
            signal.signal(number, handler)

    def interrupt(number: int, _frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    handle(interrupt)
    os.register_at_fork(after_in_child=lambda: handle(signal.SIG_DFL))
    try:
        yield came
    finally:
        handle(lambda _number, _frame: os._exit(INTERRUPTED))
        exec("")  # forgets an interrupt within another exec, for which Python would end itself by SIGINT


def hush(report: Callable[[BaseException | None], object]) -> None:
    """Keep from the terminal what libraries warn of and log (PYTHONWARNINGS shows warnings).

    What a thread raises is reported. What a destructor raises is ignored, as Python does after showing it,
    but for an interrupt, which is raised again.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    threading.excepthook = lambda args: report(args.exc_value)
    sys.unraisablehook = lambda args: _thread.interrupt_main() if args.exc_type is KeyboardInterrupt else None
