"""The steps that a measurement reports, and the signals that it delays while it writes."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """The next step of some work; `done` is the share of the timing that is finished."""

    text: str
    done: float | None = None
    eta: float | None = None  # seconds to the end


Tell = Callable[[NextStep], object]


@contextmanager
def hold_signals() -> Iterator[None]:
    """Delay these signals to the end of the block, and then call their handlers.

    Does nothing outside the main thread, or if no Python handler is set.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    waiting = {number: handler for number, handler in before.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread() or not waiting:
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    for number in waiting:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in waiting.items():
            signal.signal(number, handler)
    if came:
        number, frame = came[0]
        waiting[number](number, frame)
