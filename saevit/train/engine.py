"""The engine of a training run: network, EMA, optimizer and scheduler; one update, and one validation."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.errors import OptionError, SaevitError, need
from saevit.text import printable
from saevit.train.batches import MIN_BATCH, Update, derive_seed, use_seed
from saevit.train.loaders import Batch, Loader
from saevit.train.objective import make_objective
from saevit.train.preparation import AMP_DTYPES, PreparedRun
from saevit.train.processes import Processes

TOP = 5


class TrainingStopped(SaevitError):  # noqa: N818 - says what happened
    """Training cannot continue. Files that were written before stay."""


class Engine:
    """The network of a run on its device, with timm's optimizer, scheduler and EMA of the weights."""

    def __init__(self, prepared: PreparedRun, processes: Processes) -> None:
        recipe, run, device = prepared.recipe, prepared.run, processes.device
        self.processes, self.run, self.recipe, self.amp = processes, run, recipe, AMP_DTYPES[run.amp]
        self.layout = torch.channels_last if run.channels_last else torch.contiguous_format
        self.net = prepared.net.to(device).to(memory_format=self.layout)
        self.optimizer = need("timm.optim").create_optimizer_v2(
            self.net, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self.scheduler, _ = need("timm.scheduler").create_scheduler_v2(
            self.optimizer,
            sched=recipe.sched,
            num_epochs=recipe.epochs,
            warmup_epochs=recipe.warmup_epochs,
            warmup_lr=min(recipe.warmup_lr, recipe.lr or 0.0),
            min_lr=min(recipe.min_lr, recipe.lr or 0.0),
            step_on_epochs=False,
            updates_per_epoch=prepared.updates,
        )
        self.ema: Any = None
        if recipe.model_ema_decay:
            self.ema = need("timm.utils").ModelEmaV3(
                self.net, decay=recipe.model_ema_decay, use_warmup=recipe.model_ema_warmup
            )
        wrapped = processes.wrap(self.net)
        self.train_net: Any = torch.compile(wrapped) if run.compile else wrapped  # shares the weights of net
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.amp == torch.float16)
        self.objective = make_objective(recipe, prepared.train.num_classes, prepared.teacher)

    @property
    def evaluated(self) -> nn.Module:
        """Return the network that is validated and saved: the EMA, or the network itself without EMA."""
        return self.net if self.ema is None else self.ema.module

    def place(self, x: Tensor) -> Tensor:
        """Move images to the device, in the memory format of the run."""
        return x.to(self.processes.device, non_blocking=True).contiguous(memory_format=self.layout)

    def autocast(self) -> torch.autocast:
        """Return the context manager of mixed precision; it does nothing in fp32."""
        return torch.autocast(self.processes.device.type, dtype=self.amp, enabled=self.amp is not None)

    def tensors(self) -> dict[str, Any]:
        """Return the state dicts of network, EMA, optimizer and gradient scaler, without copying tensors."""
        return {
            "model": self.net.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_tensors(self, tensors: dict[str, Any]) -> None:
        """Load the state dicts that `tensors` returned in an earlier process.

        Raises:
            OptionError: the tensors do not fit this network or optimizer.
        """
        try:
            self.net.load_state_dict(tensors["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(tensors["ema"])
            self.optimizer.load_state_dict(tensors["optimizer"])
            self.scaler.load_state_dict(tensors["scaler"])
        except Exception as error:  # torch and timm raise errors of any type
            reason = printable(" ".join(str(error).split())[:200])
            raise OptionError(f"--resume: last.pt does not fit {self.run.model}: {reason}") from error


class UpdateResult(NamedTuple):
    """The loss and the counts of an update in this process."""

    loss: Tensor  # sum over the images, on the device: reading it would synchronize
    images: int
    skipped: int
    number: int  # of the update, counted from 0 over the whole training


def run_update(engine: Engine, plan: Update, batches: Iterator[Batch], *, number: int) -> UpdateResult | None:
    """Run update `number` of the weights: all its accumulation steps, then one optimizer step.

    The gradient is the mean over the images of all steps and processes. If the batches end early, the update
    is undone, and None is returned.
    """
    processes, seed = engine.processes, engine.recipe.seed
    planned = sum(len(part) for step in plan for part in step)
    total, images, skipped = torch.zeros((), device=processes.device), 0, 0
    engine.scheduler.step_update(number)
    buffers = [buffer.clone() for buffer in engine.net.buffers()] if len(plan) > 1 else []
    for i in range(len(plan)):
        batch = next(batches, None)
        if batch is None:
            undo_steps(engine, buffers)
            return None
        x, labels = fill_batch(*batch)
        images, skipped = images + len(x), skipped + len(batch[2])
        key = (seed, "step", number, i, processes.rank)
        with use_seed(*key):
            if processes.device.type != "cpu":
                torch.manual_seed(derive_seed(*key))
            with nullcontext() if i == len(plan) - 1 else processes.no_sync(engine.train_net):
                loss = compute_loss(engine, engine.place(x), labels.to(processes.device, non_blocking=True))
                engine.scaler.scale(loss * (processes.count / planned)).backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    apply_gradients(engine, number)
    return UpdateResult(loss=total, images=images, skipped=skipped, number=number)


def fill_batch(x: Tensor, labels: Tensor, unreadable: Sequence[SaevitError]) -> tuple[Tensor, Tensor]:
    """Repeat the only readable image of a batch, as BatchNorm needs two; without one, stop the training."""
    if not len(x):
        raise TrainingStopped(f"no image of a batch could be read; first error: {unreadable[0]}")
    if len(x) < MIN_BATCH:
        return x.repeat(MIN_BATCH, 1, 1, 1), labels.repeat(MIN_BATCH)
    return x, labels


def compute_loss(engine: Engine, x: Tensor, labels: Tensor) -> Tensor:
    """Return the loss summed over a batch."""
    with engine.autocast():
        x, target = engine.objective.mix(x, labels)
        logits = engine.train_net(x)
        if not isinstance(logits, Tensor):
            raise TrainingStopped(
                "the network has several outputs in training; only networks with one output can be trained"
            )
        return engine.objective.sum_loss(logits, target, x)


def apply_gradients(engine: Engine, number: int) -> None:
    """Clip the gradients, step the optimizer, and update the EMA."""
    if engine.recipe.clip_grad:
        engine.scaler.unscale_(engine.optimizer)
        nn.utils.clip_grad_norm_(engine.net.parameters(), engine.recipe.clip_grad)
    engine.scaler.step(engine.optimizer)
    engine.scaler.update()
    engine.optimizer.zero_grad(set_to_none=True)
    if engine.ema is not None:
        engine.ema.update(engine.net, step=number + 1)  # timm counts the finished updates


def undo_steps(engine: Engine, buffers: Sequence[Tensor]) -> None:
    """Discard the gradients of an unfinished update, and restore the buffers (running statistics)."""
    engine.optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, before in zip(engine.net.buffers(), buffers, strict=False):
            buffer.copy_(before)


def read_sums(result: UpdateResult | None, engine: Engine) -> Tensor:
    """Return (loss, images, skipped images) of an update as float64; stop if the loss is not finite."""
    loss, images, skipped = (0.0, 0, 0) if result is None else (float(result.loss), *result[1:3])
    if result is None or math.isfinite(loss):
        return torch.tensor([loss, images, skipped], dtype=torch.float64)
    lr = engine.optimizer.param_groups[0]["lr"]
    raise TrainingStopped(
        f"the loss is {loss} at update {result.number + 1} (learning rate {lr:.3g}): try --lr {lr / 4:.2g}, "
        "a longer warm-up (--set warmup_epochs=N)" + ("" if engine.amp is None else ", or --amp none")
    )


class Validation(NamedTuple):
    """The validation results of an epoch, named as the fields of `Epoch`."""

    val_loss: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    val_images: int | None = None
    val_weights: str = ""
    raw_loss: float | None = None
    raw_top1: float | None = None
    raw_top5: float | None = None


def validate(engine: Engine, loader: Loader, count: int, is_stopped: Callable[[], bool]) -> Validation | None:
    """Validate on `count` images; return None if the user stopped the training.

    The EMA and the raw weights are validated on the same batches. Of P processes, each reads every P-th image
    without padding, and the sums of all processes are added at the end.
    """
    processes, size = engine.processes, engine.recipe.batch_size
    own = range(processes.rank, count, processes.count)
    plan = [own[i : i + size] for i in range(0, len(own), size)]
    networks = [engine.net] if engine.ema is None else [engine.ema.module, engine.net]
    sums = torch.zeros(len(networks), 4, dtype=torch.float64, device="cpu")
    were_training = [net.training for net in networks]
    for net in networks:
        net.eval()
    with closing(loader.batches(plan, is_stopped)) as batches:
        for _ in plan:
            batch = None if is_stopped() else next(batches, None)
            if batch is None:
                return None
            sums += torch.stack([validate_batch(engine, net, batch) for net in networks])
    for net, was_training in zip(networks, were_training, strict=True):
        net.train(was_training)
    return make_validation(processes.sum(sums).tolist())


def make_validation(sums: Sequence[Sequence[float]]) -> Validation:
    """Return the means from rows of (loss, top-1 hits, top-5 hits, images): EMA if used, then raw weights.

    Raises:
        TrainingStopped: no image could be read, or the loss is not finite.
    """
    images = sums[0][3]
    if not images:
        raise TrainingStopped("no validation image could be read")
    if not math.isfinite(sums[0][0]):
        raise TrainingStopped("the validation loss is not finite: try a lower --lr, or --amp none")
    per_cent = 100 / images
    first, *others = ((loss / images, top1 * per_cent, top5 * per_cent) for loss, top1, top5, _ in sums)
    raw = [one for one in others if math.isfinite(one[0])]  # mixed precision may overflow with raw weights
    return Validation(*first, int(images), "EMA" if others else "raw", *(raw[0] if raw else ()))


def validate_batch(engine: Engine, net: nn.Module, batch: Batch) -> Tensor:
    """Return the summed loss, top-1 hits, top-5 hits and images of a batch, (4,) in float64."""
    x, labels, _ = batch
    if not len(x):
        return torch.zeros(4, dtype=torch.float64)
    with torch.inference_mode(), engine.autocast():
        logits = net(engine.place(x)).float().cpu()
    hits = logits.topk(min(TOP, logits.shape[1]), dim=1).indices == labels[:, None]
    loss = F.cross_entropy(logits, labels, reduction="sum")
    return torch.tensor([loss, hits[:, 0].sum(), hits.sum(), len(labels)], dtype=torch.float64)
