"""Evaluate a trained network on labelled images: how often it is right, how well it knows, how fast."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saevit.checkpoint import About
from saevit.errors import MeasureError, MemoryLimitError, OptionError
from saevit.machine import usable_cores
from saevit.measure.conditions import pin_threads, place_network, resolve_device, synchronizer
from saevit.measure.environment import environment
from saevit.measure.memory import is_out_of_memory
from saevit.measure.timing import Progress, Tell
from saevit.model.pyramid import SAEViT
from saevit.models import Weighted, check_memory, for_inference
from saevit.runs.evaluation import ClassResult, Evaluation
from saevit.runs.record import Conditions, utc_now
from saevit.runs.statistics import Share, calibration_error
from saevit.train.image_data import ImageData, Inputs
from saevit.train.loaders import loader
from saevit.train.transform import eval_transform

TOP = 5
FOLDED = "run in the folded form"
MERGED = "run re-parameterised, where its family has that"


@dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """How an evaluation is run."""

    img_size: tuple[int, int] | None = None  # (H, W); None is the checkpoint's
    batch_size: int = 64
    device: str = "auto"
    threads: int | None = None  # None: every usable core
    workers: int = 0  # processes that read images; 0: this one reads them


def evaluate(
    net: Weighted, data: ImageData, checkpoint: Path, plan: EvalPlan, on_progress: Tell = lambda step: None
) -> Evaluation:
    """Run a network, in its form for inference, over all images of a dataset in fp32.

    An image that cannot be read is left out and listed.

    Args:
        net: with trained weights, as `saevit.models.weighted` gives it.
        data: labelled images of the classes that it was trained on.
        checkpoint: the file of the weights, for its name.
        plan: how to run.
        on_progress: called before the first batch and after each.

    Raises:
        OptionError: other classes than the network's, random weights, a device that is not here.
        MemoryLimitError: the batch does not fit.
        MeasureError: no image could be read, or outputs are not finite.
    """
    if net.is_random:
        raise OptionError(
            f"{net.about.model} has random weights, and they measure nothing: add --checkpoint FILE"
        )
    check_classes(net.about, data)
    conditions = Conditions(
        img_size=plan.img_size or net.about.img_size,
        batch_size=plan.batch_size,
        dtype="fp32",
        device=resolve_device(plan.device),
        runtime="eager",
        threads=plan.threads or usable_cores(),
        memory_format="contiguous",
        folded=isinstance(net.model, SAEViT),
    )
    if conditions.device == "cpu":
        check_memory(net.about.model, conditions.img_size, conditions.batch_size)
    started = utc_now()
    tally = Tally(num_classes=data.num_classes)
    with pin_threads(conditions.threads), torch.inference_mode():
        model = place_network(for_inference(net.model), conditions)
        run(model, net.about, data, conditions, plan.workers, tally, on_progress)
    if not tally.hits:
        first = f": {tally.unreadable[0]}" if tally.unreadable else ""
        raise MeasureError(f"no image of {data.name} could be read{first}")
    return result(net, data, checkpoint, plan.workers, conditions, started, tally)


def check_classes(about: About, data: ImageData) -> None:
    """Refuse data of other classes than the network's."""
    trained = f" (it was trained on {about.data})" if about.data else ""
    if about.num_classes != data.num_classes:
        raise OptionError(
            f"{about.model} has {about.num_classes} classes and {data.name} {data.num_classes}: "
            f"evaluate it on data of its own classes{trained}"
        )
    if about.class_names and about.class_names != data.class_names:
        pairs = zip(about.class_names, data.class_names, strict=True)
        number, (ours, theirs) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
        raise OptionError(
            f"class {number} of {about.model} is {ours!r} and of {data.name} {theirs!r}: "
            f"evaluate it on data of its own classes, in their order{trained}"
        )


@dataclass
class Tally:
    """What the batches so far have shown."""

    num_classes: int
    hits: list[bool] = field(default_factory=list)
    hits_among_top: int = 0
    confidences: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    laps: list[tuple[int, float, float]] = field(default_factory=list)  # images, seconds alone, with reading

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Judge a batch: logits (B, C) and labels (B,), both on the CPU."""
        logits = logits.double()
        if not logits.isfinite().all():
            raise MeasureError(
                "the network's outputs are not finite: its weights are broken, or fp32 overflows"
            )
        confidence, chosen = logits.softmax(1).max(1)
        top = logits.topk(min(TOP, self.num_classes)).indices
        self.hits += (chosen == labels).tolist()
        self.hits_among_top += int((top == labels[:, None]).any(1).sum())
        self.confidences += confidence.clamp(max=1.0).tolist()
        self.losses += F.cross_entropy(logits, labels, reduction="none").tolist()
        self.labels += labels.tolist()


def run(
    model: nn.Module,
    about: About,
    data: ImageData,
    conditions: Conditions,
    workers: int,
    tally: Tally,
    on_progress: Tell,
) -> None:
    """Take every batch through the network, and time it alone and with its reading."""
    transform = eval_transform(Input(about, conditions.img_size), data.crop_pct)
    device = torch.device(conditions.device)
    synchronize = synchronizer(conditions.device)
    indices = list(range(len(data)))
    size = conditions.batch_size
    plan = [indices[i : i + size] for i in range(0, len(indices), size)]
    begun = before = perf_counter()
    on_progress(Progress(text=f"evaluating on {data.name}", done=0.0, eta=None))
    source = loader(Inputs(data, transform), workers=workers, device=device).batches(plan)
    for number, (x, labels, dropped) in enumerate(source, start=1):
        tally.unreadable += [str(error) for error in dropped]
        if len(labels):
            x = x.to(device)
            synchronize()
            start = perf_counter()
            logits = forward(model, x, conditions)
            synchronize()
            now = perf_counter()
            tally.laps.append((len(labels), now - start, now - before))
            tally.add(logits.cpu(), labels)
        before = perf_counter()
        left = (before - begun) / number * (len(plan) - number)
        on_progress(Progress(text=f"evaluating on {data.name}", done=number / len(plan), eta=left))


def forward(model: nn.Module, x: Tensor, conditions: Conditions) -> Tensor:
    """Return the logits, or say that the batch is too large."""
    try:
        logits: Tensor = model(x)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            f"--batch-size {conditions.batch_size} does not fit on {conditions.device}: give a smaller one"
        ) from error
    return logits


@dataclass(frozen=True)
class Input:
    """What the network takes, at the size of this evaluation."""

    about: About
    img_size: tuple[int, int]

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel."""
        return self.about.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel."""
        return self.about.std

    @property
    def in_chans(self) -> int:
        """Channels."""
        return self.about.in_chans


def result(
    net: Weighted,
    data: ImageData,
    checkpoint: Path,
    workers: int,
    conditions: Conditions,
    started: str,
    tally: Tally,
) -> Evaluation:
    """Return what the tally says."""
    total = len(tally.hits)
    alone, with_reading = rates(tally.laps)
    return Evaluation(
        model=net.about.model,
        checkpoint=checkpoint.name,
        sha256=net.sha256,
        form=FOLDED if conditions.folded else MERGED,
        data=data.name,
        fingerprint=data.fingerprint,
        split=data.split,
        statement=data.statement,
        unreadable=tuple(tally.unreadable),
        left_out=(*data.skipped, *data.warnings),
        top1=Share(hits=sum(tally.hits), total=total),
        top5=Share(hits=tally.hits_among_top, total=total) if data.num_classes > TOP else None,
        loss=float(np.mean(tally.losses)),
        calibration_error=calibration_error(tally.confidences, tally.hits),
        classes=by_class(data, tally),
        num_classes=data.num_classes,
        conditions=conditions,
        environment=environment(),
        started=started,
        workers=workers,
        alone=alone,
        with_reading=with_reading,
    )


def by_class(data: ImageData, tally: Tally) -> tuple[ClassResult, ...]:
    """Return the share of hits of each class that has images."""
    images = np.bincount(tally.labels, minlength=data.num_classes)
    hits = np.bincount(tally.labels, weights=tally.hits, minlength=data.num_classes)
    return tuple(
        ClassResult(name=name, share=Share(hits=int(hit), total=int(total)))
        for name, total, hit in zip(data.class_names, images, hits, strict=True)
        if total
    )


def rates(laps: Sequence[tuple[int, float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return images/s alone and with reading: of full batches, and not of the first one if there is another.

    The first batch pays for what happens once (kernels chosen, memory taken); a short last one is slow.
    """
    largest = max(images for images, _, _ in laps)
    full = [lap for lap in laps[1:] if lap[0] == largest] or [max(laps, key=lambda lap: lap[0])]
    return tuple(n / alone for n, alone, _ in full), tuple(n / both for n, _, both in full)
