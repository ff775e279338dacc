"""Network, average, optimizer and schedule of a training, and one update of them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from saevit.errors import SaevitError, need
from saevit.train.batches import LEAST, Update
from saevit.train.job import AMPS, Job
from saevit.train.loaders import Batch
from saevit.train.objective import Objective, objective_of
from saevit.train.processes import Processes
from saevit.train.randomness import derived, seeded


class TrainingStopped(SaevitError):  # noqa: N818 - says what happened
    """A training that cannot go on; what was written before stays."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What an update changes, and what it needs."""

    processes: Processes
    net: nn.Module  # holds the weights
    called: nn.Module  # the same network, compiled or with averaged gradients where wanted
    ema: Any  # timm's ModelEmaV3, or None
    optimizer: torch.optim.Optimizer
    schedule: Any  # timm's
    scaler: torch.amp.GradScaler
    objective: Objective
    amp: torch.dtype | None
    layout: torch.memory_format
    clip_grad: float
    seed: int

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the average, where there is one."""
        return self.net if self.ema is None else self.ema.module

    def placed(self, x: Tensor) -> Tensor:
        """Bring images to the device, in the layout."""
        return x.to(self.processes.device, non_blocking=True).contiguous(memory_format=self.layout)


def engine_of(job: Job, processes: Processes) -> Engine:
    """Bring a job's network to the device, with optimizer, schedule and average from timm."""
    recipe, run, device = job.recipe, job.run, processes.device
    layout = torch.channels_last if run.channels_last else torch.contiguous_format
    net = job.net.to(device).to(memory_format=layout)
    optimizer = need("timm.optim").create_optimizer_v2(
        net, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    schedule, _ = need("timm.scheduler").create_scheduler_v2(
        optimizer,
        sched=recipe.sched,
        num_epochs=recipe.epochs,
        warmup_epochs=recipe.warmup_epochs,
        warmup_lr=min(recipe.warmup_lr, recipe.lr or 0.0),
        min_lr=min(recipe.min_lr, recipe.lr or 0.0),
        step_on_epochs=False,
        updates_per_epoch=job.updates,
    )
    ema = None
    if recipe.model_ema_decay:
        ema = need("timm.utils").ModelEmaV3(
            net, decay=recipe.model_ema_decay, use_warmup=recipe.model_ema_warmup
        )
    called = processes.wrapped(net)
    amp = AMPS[run.amp]
    return Engine(
        processes=processes,
        net=net,
        called=torch.compile(called) if run.compile else called,  # type: ignore[arg-type]
        ema=ema,
        optimizer=optimizer,
        schedule=schedule,
        scaler=torch.amp.GradScaler(device.type, enabled=amp == torch.float16),
        objective=objective_of(recipe, job.train.num_classes, job.teacher),
        amp=amp,
        layout=layout,
        clip_grad=recipe.clip_grad,
        seed=recipe.seed,
    )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an update saw in this process; the loss is not read yet, so that an accelerator need not wait."""

    loss: Tensor  # summed over the images
    images: int
    skipped: int
    number: int


def update(engine: Engine, plan: Update, batches: Iterator[Batch], *, number: int) -> Seen | None:
    """Run one update of the weights, the `number`-th of the training; return what it saw.

    The gradient is of the mean over the images of all steps and processes, whoever has more of them. Where
    the batches end early, nothing is changed, and None is returned.

    Raises:
        TrainingStopped: no image of a batch could be read.
    """
    processes = engine.processes
    planned = sum(len(part) for step in plan for part in step)
    total, images, skipped = torch.zeros((), device=processes.device), 0, 0
    engine.schedule.step_update(number)
    buffers = [buffer.clone() for buffer in engine.net.buffers()] if len(plan) > 1 else []
    for i in range(len(plan)):
        batch = next(batches, None)
        if batch is None:
            undo(engine, buffers)
            return None
        dropped = batch[2]
        x, labels = enough(*batch)
        images += len(x)
        skipped += len(dropped)
        last = i == len(plan) - 1
        with seeded(engine.seed, "step", number, i, processes.rank):
            if processes.device.type != "cpu":
                torch.manual_seed(derived(engine.seed, "step", number, i, processes.rank))
            with nullcontext() if last else processes.apart(engine.called):
                loss = loss_of(engine, engine.placed(x), labels.to(processes.device, non_blocking=True))
                engine.scaler.scale(loss * (processes.count / planned)).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    apply(engine, number)
    return Seen(loss=total, images=images, skipped=skipped, number=number)


def loss_of(engine: Engine, x: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a batch, summed."""
    amp = torch.autocast(engine.processes.device.type, dtype=engine.amp, enabled=engine.amp is not None)
    with amp:
        x, target = engine.objective.mixed(x, labels)
        logits = engine.called(x)
        if not isinstance(logits, Tensor):
            raise TrainingStopped("the network has several outputs in training, and only one can be trained")
        return engine.objective.summed(logits, target, x)


def apply(engine: Engine, number: int) -> None:
    """Clip the gradients, step, and follow with the average."""
    if engine.clip_grad:
        engine.scaler.unscale_(engine.optimizer)
        nn.utils.clip_grad_norm_(engine.net.parameters(), engine.clip_grad)
    engine.scaler.step(engine.optimizer)
    engine.scaler.update()
    engine.optimizer.zero_grad(set_to_none=True)
    if engine.ema is not None:
        engine.ema.update(engine.net, step=number + 1)  # timm counts the updates that are done


def undo(engine: Engine, buffers: Sequence[Tensor]) -> None:
    """Forget the steps of an update that is not finished: their gradients and running statistics."""
    engine.optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, before in zip(engine.net.buffers(), buffers, strict=False):
            buffer.copy_(before)


def enough(x: Tensor, labels: Tensor, dropped: tuple[SaevitError, ...]) -> tuple[Tensor, Tensor]:
    """Give a batch that lost images to broken files at least two."""
    if not len(x):
        raise TrainingStopped(f"no image of a batch could be read, the first is {dropped[0]}")
    if len(x) < LEAST:
        return x.repeat(LEAST, 1, 1, 1), labels.repeat(LEAST)
    return x, labels


def finite(seen: Seen, engine: Engine) -> float:
    """Read the loss of an update.

    Raises:
        TrainingStopped: it is not finite.
    """
    loss = float(seen.loss)
    if math.isfinite(loss):
        return loss
    lr = engine.optimizer.param_groups[0]["lr"]
    raise TrainingStopped(
        f"the loss is {loss} at update {seen.number + 1} (learning rate {lr:.3g}): try --lr {lr / 4:.2g}, "
        "a longer warm-up (--set warmup_epochs=N)" + ("" if engine.amp is None else ", or --amp none")
    )
