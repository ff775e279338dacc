"""The process: standard streams that never fail, signals that interrupt, libraries that are quiet."""

import _thread
import contextlib
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
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


def tap(name: str, number: int) -> Tap:
    """Replace sys.stdout or sys.stderr by one that cannot fail and escapes characters it does not know."""
    raw, stream = Tap(number, "w", closefd=False), getattr(sys, name)
    encoding = stream.encoding if stream else "utf-8"
    by_line = raw.isatty() or name == "stderr"
    text = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=by_line
    )
    setattr(sys, name, text)
    return raw


def open_streams() -> Tap | None:
    """Make both streams safe and return stdout; None: it is closed.

    What is closed leads nowhere from now on, so that no file of ours takes its number.
    """
    is_open = sys.stdout is not None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number: this
    tap("stderr", 2)
    stdout = tap("stdout", 1)
    return stdout if is_open else None


@contextlib.contextmanager
def obeyed_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, here and not in processes that are forked.

    What is ignored, as nohup and a shell's `&` set it, stays ignored. After the block each ends the process
    at once: nothing is left to be lost.
    """
    ours = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def handle(handler: Any) -> None:
        for number in ours:
            signal.signal(number, handler)

    handle(interrupt)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: handle(signal.SIG_DFL))
    try:
        yield
    finally:
        handle(lambda _number, _frame: os._exit(INTERRUPTED))
        exec("")  # forgets an interrupt within another exec, for which Python would end itself by SIGINT


def catch_strays(report: Callable[[BaseException], object]) -> None:
    """Report what a thread raises; an interrupt that a destructor swallows is raised again.

    Other exceptions of destructors and at exit are without consequence: Python ignores them too.
    """

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            report(args.exc_value)

    def in_destructor(args: Any) -> None:
        if args.exc_type is KeyboardInterrupt:
            _thread.interrupt_main()

    threading.excepthook, sys.unraisablehook = in_thread, in_destructor


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep warnings and log lines of libraries from the terminal; PYTHONWARNINGS shows warnings."""
    level, told = logging.root.manager.disable, logging.raiseExceptions
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        logging.raiseExceptions = False
        try:
            yield
        finally:
            logging.disable(level)
            logging.raiseExceptions = told
