"""Set up the process: standard streams that never raise, signal handlers, and silent libraries."""

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

from saevit.measure.progress import ENDING
from saevit_cli.output import INTERRUPTED


class Tap(io.FileIO):
    """A standard stream that never raises. After the first error it discards all data."""

    problem: OSError | None = None

    def write(self, data: Any) -> int:
        """Write data, or discard it after an error; return its length."""
        if self.problem is None:
            try:
                return super().write(data)
            except OSError as error:
                self.problem = error
        return len(data)


def open_streams() -> Tap | None:
    """Replace stdout and stderr by streams that never raise, and that escape characters they cannot encode.

    Closed standard streams are opened on the null device, so that no other file gets their number.

    Returns:
        stdout, or None if it was closed.
    """
    is_open = sys.stdout is not None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets this number, the lowest free one
    taps = {name: Tap(number, "w", closefd=False) for name, number in (("stdout", 1), ("stderr", 2))}
    for name, tap in taps.items():
        encoding, by_line = getattr(getattr(sys, name), "encoding", "utf-8"), name == "stderr" or tap.isatty()
        buffer = io.BufferedWriter(tap)
        stream = io.TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=by_line)
        setattr(sys, name, stream)
    return taps["stdout"] if is_open else None


@contextmanager
def interrupt_on_signals() -> Iterator[list[int]]:
    """Handle SIGTERM and SIGHUP like Ctrl-C, in this process but not in forked processes.

    Yields the list of received signals, because a library may catch the interrupt and continue. Signals that
    are ignored (nohup, `&` in a shell) stay ignored. After the block, a signal ends the process at once.
    """
    received: list[int] = []
    ours = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]

    def set_handlers(handler: Any) -> None:
        for number in ours:
            signal.signal(number, handler)

    def interrupt(number: int, _frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    set_handlers(interrupt)
    os.register_at_fork(after_in_child=lambda: set_handlers(signal.SIG_DFL))
    try:
        yield received
    finally:
        set_handlers(lambda _number, _frame: os._exit(INTERRUPTED))
        exec(
            ""
        )  # clears an interrupt raised within another exec, for which Python would end itself by SIGINT


def silence_libraries(report: Callable[[BaseException | None], object]) -> None:
    """Hide warnings and log messages of libraries (PYTHONWARNINGS shows warnings).

    `report` gets errors of threads. Errors of destructors are ignored, except that an interrupt is repeated.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    threading.excepthook = lambda args: report(args.exc_value)
    sys.unraisablehook = lambda args: _thread.interrupt_main() if args.exc_type is KeyboardInterrupt else None
