"""The training loss: cross-entropy with mixup and label smoothing, and optional soft distillation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.checkpoint import About, read_checkpoint
from saevit.errors import OptionError, need
from saevit.loading import build_trained
from saevit.models import read_about
from saevit.train.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained network in eval mode. It converts the images of the student to its own normalisation."""

    model: nn.Module
    scale: Tensor  # (1, C, 1, 1): x_teacher = x * scale + shift
    shift: Tensor
    note: str = ""  # the weights that are used, if the file has several sets

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (B, num_classes), without gradients."""
        with torch.no_grad():
            return self.model(x * self.scale + self.shift)


def load_teacher(model: str, checkpoint: Path, about: About, device: torch.device) -> Teacher:
    """Build a teacher with the weights of a checkpoint, for the student that `about` describes.

    Raises:
        OptionError: the weights belong to another network, or classes or channels differ from the student's.
    """
    file = read_checkpoint(checkpoint, "--teacher-checkpoint")
    own = file.about
    if own and own.class_names and about.class_names and own.class_names != about.class_names:
        raise OptionError(
            f"--teacher-checkpoint {checkpoint} has the classes {', '.join(own.class_names[:3])}, ... and "
            f"the data have {', '.join(about.class_names[:3])}, ...: use a teacher with the same classes"
        )
    net, note = build_trained(
        model, file, about.img_size, num_classes=about.num_classes, in_chans=about.in_chans
    )
    own = own or read_about(net, model, about.img_size)
    mean, std, own_mean, own_std = (
        torch.tensor(values, device=device).view(1, -1, 1, 1)
        for values in (about.mean, about.std, own.mean, own.std)
    )
    net.to(device).requires_grad_(False)
    return Teacher(model=net, scale=std / own_std, shift=(mean - own_mean) / own_std, note=note)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Computes the loss of a batch, and mixes its images before the forward pass."""

    recipe: Recipe
    mixup: Any  # timm's Mixup, or None
    teacher: Teacher | None

    def mix(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and targets: (B, classes) with mixup or cutmix, else the labels (B,).

        Random values are drawn from NumPy's generator. timm mixes pairs, so the last image of an odd batch is
        not mixed.
        """
        if self.mixup is None:
            return x, labels
        even = len(x) // 2 * 2
        x = x.clone()
        mixed, target = self.mixup(x[:even], labels[:even])
        if even < len(x):
            last = need("timm.data.mixup").mixup_target(
                labels[even:], self.mixup.num_classes, 1.0, self.recipe.smoothing
            )
            mixed, target = torch.cat([mixed, x[even:]]), torch.cat([target, last])
        return mixed, target

    def sum_loss(self, logits: Tensor, target: Tensor, x: Tensor) -> Tensor:
        """Return the loss summed over the batch, in fp32."""
        smoothing = self.recipe.smoothing if target.ndim == 1 else 0.0
        loss = F.cross_entropy(logits.float(), target, reduction="sum", label_smoothing=smoothing)
        if self.teacher is None:
            return loss
        soft = distil(logits.float(), self.teacher.logits(x).float(), self.recipe.teacher_temperature)
        return (1 - self.recipe.teacher_weight) * loss + self.recipe.teacher_weight * soft


def distil(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the distillation loss T^2 KL(teacher || student), summed over the batch (arXiv 1503.02531)."""
    student, teacher = (F.log_softmax(x / temperature, dim=-1) for x in (student, teacher))
    return temperature**2 * F.kl_div(student, teacher, reduction="sum", log_target=True)


def make_objective(recipe: Recipe, num_classes: int, teacher: Teacher | None) -> Objective:
    """Return the loss of a recipe."""
    mixup = None
    if max(recipe.mixup, recipe.cutmix) > 0 and recipe.mixup_prob > 0:
        mixup = need("timm.data").Mixup(
            mixup_alpha=recipe.mixup,
            cutmix_alpha=recipe.cutmix,
            prob=recipe.mixup_prob,
            switch_prob=recipe.mixup_switch_prob,
            label_smoothing=recipe.smoothing,
            num_classes=num_classes,
        )
    return Objective(recipe=recipe, mixup=mixup, teacher=teacher)
