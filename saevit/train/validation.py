"""How well the network does on the held-out images, each counted exactly once by whatever many processes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from saevit.train.engine import Engine
from saevit.train.loaders import Loader

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
    for x, labels, _ in loader.batches(plan):
        if stopped() and processes.count == 1:
            return None
        if not len(x):
            continue
        with (
            torch.inference_mode(),
            torch.autocast(processes.device.type, dtype=engine.amp, enabled=engine.amp is not None),
        ):
            logits = net(engine.placed(x)).float().cpu()
        best = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
        hits = best == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.tensor([loss, hits[:, 0].sum(), hits.sum(), len(labels)], dtype=torch.float64)
    net.train(was_training)
    loss_sum, top1, top5, images = processes.summed(sums).tolist()
    share = 100 / max(1, images)
    return Validation(
        loss=loss_sum / max(1, images), top1=top1 * share, top5=top5 * share, images=int(images)
    )
