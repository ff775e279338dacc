"""Ctrl-C never comes between what belongs together."""

import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType

import pytest

from saevit.measure.progress import ENDING, hold_signals
from saevit.measure.rounds import measure
from saevit.runs.run import Run
from tests.measure.conftest import Clock
from tests.measure.test_rounds import steady, subject


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Whatever started the tests, Ctrl-C interrupts, and so do the other signals."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_it_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    done = []

    def interrupted() -> None:
        with hold_signals():
            signal.raise_signal(number)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done
    assert signal.getsignal(number) is signal.default_int_handler


def test_another_handler_is_called_as_it_would_have_been() -> None:
    heard: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    with hold_signals():
        signal.raise_signal(signal.SIGINT)
        assert not heard
    assert [number for number, _ in heard] == [signal.SIGINT]


def test_where_it_is_ignored_or_never_arrives_nothing_changes() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with hold_signals():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    failed: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with hold_signals():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not failed


def test_what_is_shown_and_what_is_kept_are_the_same_rounds(clock: Clock) -> None:
    class Slow:
        rounds = 0

        def begin(self, run: Run) -> None:
            pass

        def add_round(self, number: int, samples: Mapping[str, float]) -> None:
            if number == 3:
                signal.raise_signal(signal.SIGINT)  # as a user may, while the line is on its way to the disk
            self.rounds += 1

    keeper = Slow()
    run = measure([subject("a", clock, steady(0.1))], rounds=9, min_time=0.1, writer=keeper)
    assert run.interrupted
    assert run.rounds == keeper.rounds == 4
