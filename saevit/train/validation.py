"""How well the network does on the held-out images, each counted exactly once by whatever many processes."""

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from saevit.train.engine import Engine, TrainingStopped
from saevit.train.loaders import Batch, Loader

TOP = 5


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Mean loss, and accuracies in per cent, over `images` images."""

    loss: float
    top1: float
    top5: float
    images: int


def validate(
    engine: Engine, loader: Loader, count: int, batch_size: int, stopped: Callable[[], bool]
) -> Validation | None:
    """Validate on `count` images; None: it was stopped.

    Each process takes every `processes`-th image, nothing is padded, and sums are added up at the end.
    """
    processes = engine.processes
    own = range(processes.rank, count, processes.count)
    plan = [own[i : i + batch_size] for i in range(0, len(own), batch_size)]
    sums = torch.zeros(4, dtype=torch.float64, device="cpu")
    net = engine.judged
    was_training = net.training
    net.eval()
    with closing(loader.batches(plan, stopped)) as source:
        for _ in plan:
            batch = None if stopped() else next(source, None)
            if batch is None:
                return None
            sums += judged(engine, net, batch)
    net.train(was_training)
    loss_sum, top1, top5, images = processes.summed(sums).tolist()
    if not images:
        raise TrainingStopped("no image to validate on could be read")
    if not math.isfinite(loss_sum):
        raise TrainingStopped("the validation loss is not finite: try a lower --lr, or --amp none")
    share = 100 / images
    return Validation(loss=loss_sum / images, top1=top1 * share, top5=top5 * share, images=int(images))


def judged(engine: Engine, net: nn.Module, batch: Batch) -> torch.Tensor:
    """Return summed loss, hits, hits among the first five, and images of a batch."""
    x, labels, _ = batch
    if not len(x):
        return torch.zeros(4, dtype=torch.float64)
    with (
        torch.inference_mode(),
        torch.autocast(engine.processes.device.type, dtype=engine.amp, enabled=engine.amp is not None),
    ):
        logits = net(engine.placed(x)).float().cpu()
    best = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
    hits = best == labels[:, None]
    loss = F.cross_entropy(logits, labels, reduction="sum")
    return torch.tensor([loss, hits[:, 0].sum(), hits.sum(), len(labels)], dtype=torch.float64)
