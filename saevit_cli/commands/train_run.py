"""Start, resume and stop the runs of `saevit train`."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from saevit.errors import SaevitError
from saevit.files import ICONS, expand
from saevit.measure.progress import ENDING
from saevit_cli import display, output

if TYPE_CHECKING:
    from saevit.train.preparation import PreparedRun
    from saevit.train.processes import Processes
    from saevit.train.recipe import Recipe
    from saevit.train.state import TrainingRun, TrainingState

MAX_WORKERS = 8  # maximum of the default
BAD_INPUT = 2


def report_once(work: Callable[[], int]) -> int:
    """Run a function. If all of several processes raise the same error, only the first one reports it."""
    from saevit.train.processes import OtherProcessError, OwnProcessError, is_first_process

    try:
        return work()
    except OtherProcessError:
        return BAD_INPUT
    except OwnProcessError:
        raise
    except SaevitError:
        if is_first_process():
            raise
        return BAD_INPUT


def start_run(
    run: "TrainingRun",
    recipe: "Recipe",
    base: str,
    device: str,
    workers: int | None,
    recipe_file: str | None,
    target: Path | None,
    *,
    overwrite: bool,
) -> int:
    """Start a new run."""
    from saevit.train.processes import join_processes
    from saevit.train.recipe_files import BUILT_IN
    from saevit.train.run_folder import FILES, claim_folder, default_folder

    folder = target or default_folder(run.model, run.data)
    data = expand(run.data.removeprefix(ICONS))
    inputs = {
        "--data": data if data.is_absolute() else None,
        "--recipe": None if recipe_file in BUILT_IN else recipe_file,
        "--teacher-checkpoint": expand(run.teacher_checkpoint) if run.teacher_checkpoint else None,
        "--init": expand(run.init) if run.init else None,
    }
    paths = (folder, *(folder / name for name in FILES))
    output.check_roles((("--output", path) for path in paths), inputs.items())
    with join_processes(device) as processes, ExitStack() as stack:
        prepared = prepare_in_all(run, recipe, processes)
        processes.run_in_first(lambda: stack.enter_context(claim_folder(folder, overwrite=overwrite)))
        return run_training(prepared, prepared.new_state(base), folder, processes, workers)


def resume_run(folder: Path, device: str, workers: int | None) -> int:
    """Continue a run."""
    from saevit.train.processes import join_processes
    from saevit.train.run_folder import claim_folder, read_state

    with join_processes(device) as processes, ExitStack() as stack:
        processes.run_in_first(lambda: stack.enter_context(claim_folder(folder, resume=True)))
        stored = processes.run_in_all(lambda: read_state(folder))
        prepared = prepare_in_all(stored.run, stored.recipe, processes, is_begun=stored.is_begun)
        state = processes.run_in_all(lambda: prepared.check_state(stored))
        return run_training(prepared, state, folder, processes, workers)


def prepare_in_all(
    run: "TrainingRun", recipe: "Recipe", processes: "Processes", *, is_begun: bool = False
) -> "PreparedRun":
    """Prepare the run in every process. The first process opens the data first, which may render icons."""
    from saevit.train.preparation import open_splits, prepare_run

    with display.show_progress() if processes.is_first else nullcontext(lambda step: None) as tell:
        if processes.count > 1:
            processes.run_in_first(lambda: open_splits(run, recipe.img_size, tell))
        return processes.run_in_all(lambda: prepare_run(run, recipe, processes, tell, is_begun=is_begun))


def choose_workers(workers: int | None, data: str) -> int:
    """Return the number of worker processes that read images; None is the default for the data."""
    from saevit.machine import usable_cores
    from saevit.train.data_sources import IN_MEMORY

    if workers is not None:
        return workers
    return 0 if data in IN_MEMORY else min(usable_cores(), MAX_WORKERS)


def run_training(
    prepared: "PreparedRun", state: "TrainingState", folder: Path, processes: "Processes", workers: int | None
) -> int:
    """Train with one line per epoch on stdout and a progress bar on stderr, and show the results."""
    from saevit.train.loop import train_network
    from saevit.train.processes import OtherProcessError
    from saevit_cli.commands import train_view as view

    workers = choose_workers(workers, state.run.data)
    if processes.is_first:
        view.show_start(prepared, state, folder, processes, workers)
    with stop_requests() as is_stopped, view.show_progress(state, processes) as observer:
        try:
            state = train_network(
                prepared, state, folder, processes, observer, workers=workers, is_stopped=is_stopped
            )
        except OtherProcessError:
            return output.FAILED
        except SaevitError as error:
            is_written = view.is_written(folder, state)
            way = f"continue with: {view.resume_command(folder)}" if is_written else "no file was written"
            display.complain(f"{error}; {way}")
            return output.FAILED
    is_drawn = True
    if processes.is_first:
        is_drawn = view.write_page(state, prepared, folder)
        view.show_end(state, prepared, folder)
    return output.exit_code(failed=not is_drawn) if state.is_finished else output.INTERRUPTED


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True after Ctrl-C or SIGTERM. A second signal interrupts at once.

    Signals that are ignored (for example by nohup) stay ignored.
    """
    is_requested = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal is_requested
        if is_requested:
            raise KeyboardInterrupt
        is_requested = True

    handled = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, remember) for number in handled}
    try:
        yield lambda: is_requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
