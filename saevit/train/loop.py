"""The training loop: updates and validation of each epoch, and the files that are written after it."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from saevit.machine import is_out_of_memory
from saevit.train.batches import plan_epoch
from saevit.train.engine import (
    Engine,
    TrainingStopped,
    UpdateResult,
    Validation,
    read_sums,
    run_update,
    validate,
)
from saevit.train.loaders import EvalImages, TrainImages, make_loader
from saevit.train.preparation import PreparedRun
from saevit.train.processes import Processes
from saevit.train.run_folder import begin_run, write_best, write_state
from saevit.train.state import Epoch, EpochProgress, TrainingState
from saevit.train.tracking import Trackers
from saevit.train.transforms import eval_transform, train_transform

AGREE_EVERY = 10  # updates between two checks of all processes for a request to stop


class Observer(Protocol):
    """Receives the progress of a training, in the first process only."""

    def on_update(self, epoch: int, done: int, updates: int, images_per_s: float) -> None:
        """Handle a finished update; epochs count from 1."""

    def on_epoch(self, row: Epoch) -> None:
        """Handle a finished epoch, after its files are written."""


class Session:
    """A prepared run with its engine, its loaders, its trackers and its observer."""

    def __init__(
        self,
        prepared: PreparedRun,
        folder: Path,
        processes: Processes,
        observer: Observer,
        workers: int,
        is_stopped: Callable[[], bool],
    ) -> None:
        recipe, about = prepared.recipe, prepared.about
        self.prepared, self.folder, self.processes = prepared, folder, processes
        self.observer, self.is_stopped = observer, is_stopped
        self.engine = Engine(prepared, processes)
        self.trackers = Trackers(folder)  # only the first process opens them
        training = TrainImages(prepared.train, train_transform(about, recipe), recipe.seed)
        validation = EvalImages(prepared.validation, eval_transform(about, prepared.validation.crop_pct))
        self.train_loader = make_loader(training, workers=workers, device=processes.device)
        self.val_loader = make_loader(validation, workers=workers, device=processes.device)

    @property
    def is_stopped_waiting(self) -> Callable[[], bool]:
        """Return the check for a request to stop while waiting for images; never True with several processes.

        Several processes must stop after the same update (see `agree_to_stop`).
        """
        return self.is_stopped if self.processes.count == 1 else lambda: False

    def agree_to_stop(self, done: int) -> bool:
        """Tell whether to stop after update `done`; several processes decide together every ten updates."""
        if self.processes.count == 1:
            return self.is_stopped()
        if done % AGREE_EVERY:
            return False
        return bool(self.processes.sum(torch.tensor([float(self.is_stopped())])).item())


def train_network(
    prepared: PreparedRun,
    state: TrainingState,
    folder: Path,
    processes: Processes,
    observer: Observer,
    *,
    workers: int = 0,
    is_stopped: Callable[[], bool] = lambda: False,
) -> TrainingState:
    """Train from a state to the last epoch of the recipe, or until `is_stopped` returns True.

    Returns:
        The new state. Its files are written, even if the last epoch is unfinished.

    Raises:
        TrainingStopped: the loss is not finite, or the data cannot be read.
        WorkersFailed: a worker process that reads images failed.
        OptionError: a file cannot be written, or a tracker fails. Files that were written before stay.
    """
    recipe = prepared.recipe
    session = Session(prepared, folder, processes, observer, workers, is_stopped)
    if state.tensors is not None:
        session.engine.load_tensors(state.tensors)
    first = state
    try:
        if first.is_begun:
            processes.run_in_first(lambda: session.trackers.open(first))
        else:
            processes.run_in_first(lambda: begin_run(folder, first, overwrite=False))
        while not state.is_finished:
            state, is_complete = train_epoch(session, state)
            if not is_complete or (not state.is_finished and session.agree_to_stop(0)):
                break
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingStopped(
            f"the memory of {processes.device} is too small for batch_size {recipe.batch_size} at "
            f"{recipe.img_size[0]} x {recipe.img_size[1]} px: use a smaller batch_size with --accumulate, "
            "--grad-checkpointing, or --amp bf16"
        ) from error
    finally:
        session.trackers.close()
    return state


def train_epoch(session: Session, state: TrainingState) -> tuple[TrainingState, bool]:
    """Train, validate and store the next epoch, or the rest of an unfinished one.

    Returns:
        The new state, and whether the epoch is complete.
    """
    prepared, engine, processes = session.prepared, session.engine, session.processes
    epoch = len(state.rows)
    progress, is_complete = run_updates(session, state)
    validation, start = Validation(), time.perf_counter()
    if is_complete:
        processes.share_buffers(engine.net)
        if engine.ema is not None:
            processes.share_buffers(engine.ema.module)
        if (epoch + 1) % prepared.run.val_every == 0 or epoch + 1 == prepared.recipe.epochs:
            count = len(prepared.validation)
            found = validate(engine, session.val_loader, count, session.is_stopped_waiting)
            is_complete, validation = found is not None, found or validation
    if not (is_complete or progress.updates or state.rows):
        return state, False  # stopped before the first update
    check_weights(engine)
    if is_complete:
        row = Epoch(
            epoch=epoch + 1,
            lr=engine.optimizer.param_groups[0]["lr"],
            train_loss=progress.loss / progress.images,
            seconds=progress.seconds + time.perf_counter() - start,
            images_per_s=progress.images / progress.seconds,
            skipped=progress.skipped,
            **validation._asdict(),
        )
        state = replace(state, rows=(*state.rows, row), part=EpochProgress())
    else:
        state = replace(state, part=progress)
    processes.run_in_first(lambda: write_files(session, state, is_complete=is_complete))
    return state, is_complete


def run_updates(session: Session, state: TrainingState) -> tuple[EpochProgress, bool]:
    """Run the remaining updates of an epoch.

    Returns:
        The progress in the epoch, and whether all its updates are done.
    """
    epoch, before = len(state.rows), state.part
    prepared, engine, processes = session.prepared, session.engine, session.processes
    plan = plan_epoch(len(prepared.train), prepared.sizes, seed=prepared.recipe.seed, epoch=epoch)
    left = plan[before.updates :]
    keys = [[(epoch, i) for i in step[processes.rank]] for update in left for step in update]
    sums = torch.zeros(3, dtype=torch.float64)  # loss, images, skipped
    if processes.is_first:  # add the new losses to the stored sums: the rounding is as without a stop
        sums += torch.tensor([before.loss, before.images, before.skipped], dtype=torch.float64)
    pending: UpdateResult | None = None
    done, start = before.updates, time.perf_counter()
    engine.net.train()
    with closing(session.train_loader.batches(keys, session.is_stopped_waiting)) as batches:
        for update in left:
            result = run_update(engine, update, batches, number=epoch * len(plan) + done)
            if result is None:
                break
            if not (epoch or done):
                processes.run_in_first(lambda: begin_files(session, state))
            sums += read_sums(pending, engine)  # of the previous update, while the device computes this one
            pending, done = result, done + 1
            if processes.is_first:
                images = (done - before.updates) * prepared.sizes.per_update
                session.observer.on_update(epoch + 1, done, len(plan), images / (time.perf_counter() - start))
            if done < len(plan) and session.agree_to_stop(done):
                break
    loss, images, skipped = processes.sum(sums + read_sums(pending, engine)).tolist()
    seconds = before.seconds + time.perf_counter() - start
    progress = EpochProgress(
        updates=done, loss=loss, images=int(images), skipped=int(skipped), seconds=seconds
    )
    return progress, done == len(plan)


def begin_files(session: Session, state: TrainingState) -> None:
    """Open the trackers and replace the files of an earlier run, after the first update."""
    session.trackers.open(state)
    begin_run(session.folder, state, overwrite=True)


def check_weights(engine: Engine) -> None:
    """Raise TrainingStopped if a weight is not finite, so that it is not saved."""
    for name, weight in engine.evaluated.state_dict().items():
        if not weight.isfinite().all():
            raise TrainingStopped(
                f"{name} is no longer finite: try a lower --lr, or a longer warm-up (--set warmup_epochs=N)"
            )


def write_files(session: Session, state: TrainingState, *, is_complete: bool) -> None:
    """Write the state. After a complete epoch, write the best weights first, and log the epoch."""
    if is_complete:
        images = len(session.prepared.train)
        write_best(session.folder, state, session.prepared.about, session.engine, images)
    write_state(session.folder, state, session.engine)
    if is_complete:
        session.trackers.log(state.rows[-1])
        session.observer.on_epoch(state.rows[-1])
