"""Evaluation of a trained network on labelled images: accuracy, calibration error and throughput."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saevit.checkpoint import About
from saevit.errors import MeasureError, MemoryLimitError, OptionError
from saevit.loading import LoadedNetwork
from saevit.machine import is_out_of_memory, usable_cores
from saevit.measure.conditions import pin_threads, place_network, resolve_device, synchronizer
from saevit.measure.environment import environment
from saevit.measure.progress import NextStep, Tell
from saevit.model.pyramid import SAEViT
from saevit.models import check_memory, convert_for_inference
from saevit.runs.evaluation import ClassResult, Evaluation
from saevit.runs.record import Conditions, utc_now
from saevit.runs.statistics import Share, calibration_error
from saevit.train.image_data import ImageData
from saevit.train.loaders import EvalImages, make_loader
from saevit.train.transforms import eval_transform

TOP = 5
FOLDED = "run in the folded form"
MERGED = "run re-parameterised, if its family supports it"


@dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """The settings of an evaluation."""

    img_size: tuple[int, int] | None = None  # (H, W); None is the size of the checkpoint
    batch_size: int = 64
    device: str = "auto"
    threads: int | None = None  # None: every usable core
    workers: int = 0  # processes that read images; 0: this process reads them


@dataclass
class Predictions:
    """The predictions for all images so far, one entry per readable image."""

    num_classes: int
    hits: list[bool] = field(default_factory=list)
    top5_hits: int = 0
    confidences: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    laps: list[tuple[int, float, float]] = field(default_factory=list)  # see `compute_throughputs`

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch of logits (B, C) and labels (B,), both on the CPU; all logits must be finite."""
        logits = logits.double()
        if not logits.isfinite().all():
            raise MeasureError(
                "the network's outputs are not finite: the weights are damaged, or fp32 overflows"
            )
        confidence, predicted = logits.softmax(1).max(1)
        top = logits.topk(min(TOP, self.num_classes)).indices
        self.hits += (predicted == labels).tolist()
        self.top5_hits += int((top == labels[:, None]).any(1).sum())
        self.confidences += confidence.clamp(max=1.0).tolist()
        self.losses += F.cross_entropy(logits, labels, reduction="none").tolist()
        self.labels += labels.tolist()

    def compute_class_results(self, names: Sequence[str]) -> tuple[ClassResult, ...]:
        """Return the top-1 of each class that has images."""
        images = np.bincount(self.labels, minlength=self.num_classes)
        hits = np.bincount(self.labels, weights=self.hits, minlength=self.num_classes)
        return tuple(
            ClassResult(name=name, share=Share(hits=int(hit), total=int(total)))
            for name, total, hit in zip(names, images, hits, strict=True)
            if total
        )


def evaluate_network(
    net: LoadedNetwork,
    data: ImageData,
    checkpoint: Path,
    plan: EvalPlan,
    on_progress: Tell = lambda step: None,
) -> Evaluation:
    """Evaluate a network on all images of a dataset, in fp32 and in its form for inference.

    Unreadable images are skipped; the result lists them.

    Args:
        net: a network with trained weights, from `saevit.loading.load_network`.
        data: labelled images of the classes that the network was trained on.
        checkpoint: the file of the weights; the result stores its name.
        plan: the settings of the evaluation.
        on_progress: called before the first batch and after every batch.

    Raises:
        OptionError: the weights are random, the data have other classes, or the device is not available.
        MemoryLimitError: the batch does not fit in memory.
        MeasureError: no image could be read, or the outputs are not finite.
    """
    if net.is_random:
        raise OptionError(
            f"{net.about.model} has random weights, so its accuracy has no meaning: add --checkpoint FILE"
        )
    check_classes(net.about, data)
    conditions = choose_conditions(net, plan)
    if conditions.device == "cpu":
        check_memory(net.about.model, conditions.img_size, conditions.batch_size)
    started = utc_now()
    with pin_threads(conditions.threads), torch.inference_mode():
        model = place_network(convert_for_inference(net.model), conditions)
        results = predict_all(model, net.about, data, conditions, plan.workers, on_progress)
    if not results.hits:
        first = f": {results.unreadable[0]}" if results.unreadable else ""
        raise MeasureError(f"no image of {data.name} could be read{first}")
    total = len(results.hits)
    alone, with_reading = compute_throughputs(results.laps)
    return Evaluation(
        model=net.about.model,
        checkpoint=checkpoint.name,
        sha256=net.sha256,
        form=FOLDED if conditions.folded else MERGED,
        data=data.name,
        fingerprint=data.fingerprint,
        split=data.split,
        statement=data.statement,
        unreadable=tuple(results.unreadable),
        left_out=(*data.skipped, *data.warnings),
        top1=Share(hits=sum(results.hits), total=total),
        top5=Share(hits=results.top5_hits, total=total) if data.num_classes > TOP else None,
        loss=float(np.mean(results.losses)),
        calibration_error=calibration_error(results.confidences, results.hits),
        classes=results.compute_class_results(data.class_names),
        num_classes=data.num_classes,
        conditions=conditions,
        environment=environment(),
        started=started,
        workers=plan.workers,
        alone=alone,
        with_reading=with_reading,
        training=net.about.training,
        hits=tuple(results.hits),
    )


def choose_conditions(net: LoadedNetwork, plan: EvalPlan) -> Conditions:
    """Return the conditions of an evaluation: always fp32 and eager, so that accuracies are comparable."""
    return Conditions(
        img_size=plan.img_size or net.about.img_size,
        batch_size=plan.batch_size,
        dtype="fp32",
        device=resolve_device(plan.device),
        runtime="eager",
        threads=plan.threads or usable_cores(),
        memory_format="contiguous",
        folded=isinstance(net.model, SAEViT),
    )


def check_classes(about: About, data: ImageData) -> None:
    """Raise OptionError unless the data have the classes of the network, in the same order."""
    trained = f" (it was trained on {about.data})" if about.data else ""
    if about.num_classes != data.num_classes:
        raise OptionError(
            f"{about.model} has {about.num_classes} classes and {data.name} {data.num_classes}: "
            f"evaluate it on data with its own classes{trained}"
        )
    if about.class_names and about.class_names != data.class_names:
        pairs = zip(about.class_names, data.class_names, strict=True)
        label, (ours, theirs) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
        raise OptionError(
            f"class {label} of {about.model} is {ours!r} and of {data.name} {theirs!r}: "
            f"evaluate it on data with its own classes, in their order{trained}"
        )


def predict_all(
    model: nn.Module,
    about: About,
    data: ImageData,
    conditions: Conditions,
    workers: int,
    on_progress: Callable[[NextStep], object],
) -> Predictions:
    """Run the network on all images in batches, and time every batch."""
    results = Predictions(num_classes=data.num_classes)
    transform = eval_transform(replace(about, img_size=conditions.img_size), data.crop_pct)
    device, synchronize = torch.device(conditions.device), synchronizer(conditions.device)
    size, text = conditions.batch_size, f"evaluating on {data.name}"
    plan = [range(i, min(i + size, len(data))) for i in range(0, len(data), size)]
    begun = before = perf_counter()
    on_progress(NextStep(text=text, done=0.0, eta=None))
    batches = make_loader(EvalImages(data, transform), workers=workers, device=device).batches(plan)
    for number, (x, labels, unreadable) in enumerate(batches, start=1):
        results.unreadable += [str(error) for error in unreadable]
        if len(labels):
            x = x.to(device)
            synchronize()
            start = perf_counter()
            logits = predict(model, x, conditions)
            synchronize()
            now = perf_counter()
            results.laps.append((len(labels), now - start, now - before))
            results.add(logits.cpu(), labels)
        before = perf_counter()
        left = (before - begun) / number * (len(plan) - number)
        on_progress(NextStep(text=text, done=number / len(plan), eta=left))
    return results


def predict(model: nn.Module, x: Tensor, conditions: Conditions) -> Tensor:
    """Return the logits (B, C); raise MemoryLimitError if the batch does not fit in memory."""
    try:
        logits: Tensor = model(x)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            f"--batch-size {conditions.batch_size} does not fit in the memory of {conditions.device}: "
            "use a smaller one"
        ) from error
    return logits


def compute_throughputs(
    laps: Sequence[tuple[int, float, float]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the throughput of each full batch in images/s: of inference alone, and with image reading.

    The first batch is left out if there are others, because it includes kernel selection and allocation.

    Args:
        laps: for each batch its images, its seconds of inference, and its seconds with image reading.
    """
    largest = max(images for images, _, _ in laps)
    full = [lap for lap in laps[1:] if lap[0] == largest] or [max(laps, key=lambda lap: lap[0])]
    return tuple(n / alone for n, alone, _ in full), tuple(n / both for n, _, both in full)
