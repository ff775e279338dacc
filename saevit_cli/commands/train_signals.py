"""Ctrl-C and termination as a wish that is met between two updates."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from saevit.measure.interrupts import ENDING


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether a user or a scheduler (SIGTERM) wants an end; twice is at once.

    What is ignored, as nohup and a shell's `&` set it, stays ignored.
    """
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    obeyed = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, remember) for number in obeyed}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
