"""The training itself: epochs of updates, validation, and what is written after each."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from saevit.measure.memory import is_out_of_memory
from saevit.train import batches
from saevit.train.data import Inputs, eval_transform
from saevit.train.engine import Engine, Seen, TrainingStopped, engine_of, finite, update
from saevit.train.folder import Folder, begin, write_best, write_state
from saevit.train.job import Job
from saevit.train.loaders import Augmented, Loader, loader, train_transform
from saevit.train.processes import Processes
from saevit.train.state import Part, State, restore
from saevit.train.training_log import Epoch
from saevit.train.validation import Validation, validate

AGREE_EVERY = 10  # updates after which several processes ask each other whether to stop


class Watcher(Protocol):
    """Who is told how it goes; called in the first process only."""

    def on_update(self, epoch: int, done: int, updates: int, images_per_s: float) -> None:
        """An update of an epoch (from 1) is done."""

    def on_epoch(self, row: Epoch) -> None:
        """An epoch is done, and its files are written."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A job on its way."""

    job: Job
    engine: Engine
    folder: Folder
    training: Loader
    validation: Loader
    watcher: Watcher
    stopped: Callable[[], bool]


def train(
    job: Job,
    state: State,
    folder: Folder,
    processes: Processes,
    watcher: Watcher,
    *,
    workers: int = 0,
    stopped: Callable[[], bool] = lambda: False,
) -> State:
    """Train from where the state stands to the recipe's last epoch, or until it is told to stop.

    Returns:
        Where it stands then; its files are written, those of an unfinished epoch too.

    Raises:
        TrainingStopped: the loss is not finite, or the data cannot be read.
        WorkersFailed: the processes that read images did.
        OptionError: a file cannot be written; what was written before stays.
    """
    engine = engine_of(job, processes)
    restore(state, engine)
    session = Session(
        job=job,
        engine=engine,
        folder=folder,
        training=loader(
            Augmented(data=job.train, transform=train_transform(job.about, job.recipe), seed=job.recipe.seed),
            workers=workers,
            device=processes.device,
        ),
        validation=loader(
            Inputs(job.validation, eval_transform(job.about, job.validation.crop_pct)),
            workers=workers,
            device=processes.device,
        ),
        watcher=watcher,
        stopped=stopped,
    )
    begun = state
    if not begun.is_begun:
        processes.first_does(lambda: begin(folder, begun, overwrite=False))
    try:
        while len(state.rows) < job.recipe.epochs:
            state, ended = one_epoch(session, state)
            if not ended or (len(state.rows) < job.recipe.epochs and told_to_stop(session, 0)):
                break
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingStopped(
            f"the memory of {processes.device} is too small for batch_size {job.recipe.batch_size} at "
            f"{job.recipe.img_size[0]} x {job.recipe.img_size[1]} px: a smaller one with --accumulate, "
            "--grad-checkpointing, or --amp bf16"
        ) from error
    return state


def one_epoch(session: Session, state: State) -> tuple[State, bool]:
    """Train the next epoch or the rest of it, validate and write; False: it was stopped before its end."""
    job, engine, processes = session.job, session.engine, session.engine.processes
    epoch = len(state.rows)
    part, ended = trained(session, state)
    found, start = None, time.perf_counter()
    if ended:
        processes.share_buffers(*([engine.net] if engine.ema is None else [engine.net, engine.ema.module]))
        due = (epoch + 1) % job.run.val_every == 0 or epoch + 1 == job.recipe.epochs
        if due:
            size, stopped = job.recipe.batch_size, waiting_stopped(session)
            found = validate(engine, session.validation, len(job.validation), size, stopped)
            ended = found is not None
    if not (ended or part.updates or state.rows):
        return state, False  # stopped before anything was done
    check_weights(engine)
    if ended:
        row = row_of(epoch, part, found, engine, validating=time.perf_counter() - start)
        state = replace(state, rows=(*state.rows, row), part=Part())
    else:
        state = replace(state, part=part)
    processes.first_does(lambda: written(session, state, ended=ended))
    return state, ended


def trained(session: Session, state: State) -> tuple[Part, bool]:
    """Run the updates of an epoch after those that are done; return sums, and whether all are done."""
    epoch, before = len(state.rows), state.part
    job, engine, processes = session.job, session.engine, session.engine.processes
    plan = batches.epoch_of(len(job.train), job.sizes, seed=job.recipe.seed, epoch=epoch)
    left = plan[before.updates :]
    keys = [[(epoch, i) for i in step[processes.rank]] for one in left for step in one]
    sums = torch.zeros(3, dtype=torch.float64)  # loss, images, skipped
    if processes.is_first:  # adding goes on where it stopped, so that it rounds as it would have
        sums += torch.tensor([before.loss, before.images, before.skipped], dtype=torch.float64)
    pending: Seen | None = None
    done, start = before.updates, time.perf_counter()
    engine.net.train()
    with closing(session.training.batches(keys, waiting_stopped(session))) as source:
        for one in left:
            seen = update(engine, one, source, number=epoch * len(plan) + done)
            if seen is None:
                break
            if not (epoch or done):
                processes.first_does(lambda: begin(session.folder, state, overwrite=True))
            sums += read(pending, engine)  # of the update before: an accelerator is at work on this one
            pending, done = seen, done + 1
            if processes.is_first:
                speed = (done - before.updates) * job.sizes.images / (time.perf_counter() - start)
                session.watcher.on_update(epoch + 1, done, len(plan), speed)
            if done < len(plan) and told_to_stop(session, done):
                break
    loss, images, skipped = processes.summed(sums + read(pending, engine)).tolist()
    seconds = before.seconds + time.perf_counter() - start
    part = Part(updates=done, loss=loss, images=int(images), skipped=int(skipped), seconds=seconds)
    return part, done == len(plan)


def read(seen: Seen | None, engine: Engine) -> torch.Tensor:
    """Return loss, images and skipped of an update as float64."""
    values = (0.0, 0, 0) if seen is None else (finite(seen, engine), seen.images, seen.skipped)
    return torch.tensor(values, dtype=torch.float64)


def waiting_stopped(session: Session) -> Callable[[], bool]:
    """Return whether to stop while images are awaited; several processes agree between updates alone."""
    return session.stopped if session.engine.processes.count == 1 else lambda: False


def told_to_stop(session: Session, done: int) -> bool:
    """Was this process told to stop, or, now and then, any of them?"""
    processes = session.engine.processes
    if processes.count == 1:
        return session.stopped()
    if done % AGREE_EVERY:
        return False
    return bool(processes.summed(torch.tensor([float(session.stopped())])).item())


def row_of(epoch: int, part: Part, found: Validation | None, engine: Engine, *, validating: float) -> Epoch:
    """Return an epoch's row."""
    return Epoch(
        epoch=epoch + 1,
        lr=engine.optimizer.param_groups[0]["lr"],
        train_loss=part.loss / part.images,
        val_loss=found.loss if found else None,
        val_top1=found.top1 if found else None,
        val_top5=found.top5 if found else None,
        val_images=found.images if found else None,
        seconds=part.seconds + validating,
        images_per_s=part.images / part.seconds,
        skipped=part.skipped,
    )


def check_weights(engine: Engine) -> None:
    """Refuse to keep weights that are not finite.

    Raises:
        TrainingStopped: some are not.
    """
    for name, weight in engine.judged.state_dict().items():
        if not weight.isfinite().all():
            raise TrainingStopped(
                f"{name} is not finite any more: try a lower --lr, or a longer warm-up "
                "(--set warmup_epochs=N)"
            )


def written(session: Session, state: State, *, ended: bool) -> None:
    """Write what there is; after an epoch, the best weights first."""
    if ended:
        write_best(session.folder, state, session.job.about, session.engine)
    write_state(session.folder, state, session.engine)
    if ended:
        session.watcher.on_epoch(state.rows[-1])
