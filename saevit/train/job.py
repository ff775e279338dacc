"""What is to be trained, on what and how; and all of it opened, built and checked."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from saevit.checkpoint import About
from saevit.errors import MeasureError, MemoryLimitError, OptionError, SaevitError, nearest, need
from saevit.files import expand
from saevit.measure.memory import available_memory
from saevit.model.pyramid import SAEViT
from saevit.models import about_of, build_network, check_memory
from saevit.text import abbreviated
from saevit.train import batches
from saevit.train.batches import Sizes
from saevit.train.data import ImageData, open_data
from saevit.train.image_data import Identity
from saevit.train.loaders import train_transform
from saevit.train.objective import Teacher, teacher_of
from saevit.train.processes import Processes
from saevit.train.randomness import seeded
from saevit.train.recipe import Recipe, advice, effective
from saevit.train.run import Run
from saevit.variant import parse

AMPS: dict[str, torch.dtype | None] = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run with its recipe closed, its data open and its network built, on the CPU still."""

    run: Run
    recipe: Recipe
    about: About
    net: nn.Module
    train: ImageData
    validation: ImageData
    sizes: Sizes
    params: int
    teacher: Teacher | None
    warnings: tuple[str, ...] = ()

    @property
    def identities(self) -> tuple[Identity, Identity]:
        """What makes the data to train and to validate on the same."""
        return self.train.identity, self.validation.identity

    @property
    def updates(self) -> int:
        """Updates of an epoch."""
        return batches.updates_in(len(self.train), self.sizes)


def prepare(run: Run, recipe: Recipe, processes: Processes) -> Job:
    """Open the data, build the network and the teacher, close the recipe.

    Raises:
        SaevitError: data, network or teacher that cannot be had, or that do not fit together.
    """
    if run.amp not in AMPS:
        raise OptionError(f"--amp {run.amp} is not known: {nearest(run.amp, AMPS)}")
    root = expand(run.data_dir) if run.data_dir else None
    train, validation = (open_data(run.data, split, root=root) for split in ("train", "validation"))
    check_data(train, validation)
    own_drop_path = check_model(run.model, train)
    sizes = Sizes(batch_size=recipe.batch_size, processes=processes.count, accumulate=recipe.accumulate)
    batches.check(len(train), sizes)
    check_sizes(run, recipe, len(train), processes)
    net = built(run, recipe, train.num_classes, own_drop_path or None)
    params = sum(p.numel() for p in net.parameters())
    closed = effective(recipe, params=params, own_drop_path=own_drop_path, processes=processes.count)
    try:
        net = built(run, closed, train.num_classes, closed.drop_path_rate)
    except MeasureError:
        if recipe.drop_path_rate is not None:
            raise
        closed = replace(closed, drop_path_rate=0.0)  # some of timm's networks know no such thing
    chosen, recipe = recipe, closed
    about = replace(
        about_of(net, parse(run.model) if isinstance(net, SAEViT) else run.model, recipe.img_size),
        class_names=train.class_names,
        data=train.name,
    )
    check_names(recipe, about)
    said = advice(chosen, recipe, updates=batches.updates_in(len(train), sizes))
    teacher = None
    if run.teacher:
        if not run.teacher_checkpoint:
            raise OptionError(
                f"--teacher {run.teacher} without weights teaches nothing: --teacher-checkpoint"
            )
        teacher = teacher_of(run.teacher, expand(run.teacher_checkpoint), about, processes.device)
    return Job(
        run=run,
        recipe=recipe,
        about=about,
        net=net,
        train=train,
        validation=validation,
        sizes=sizes,
        params=params,
        teacher=teacher,
        warnings=(said,) if said else (),
    )


def check_sizes(run: Run, recipe: Recipe, count: int, processes: Processes) -> None:
    """Refuse what by its count alone cannot fit, before anything of it is built.

    Raises:
        MemoryLimitError: the network and one image, or the images of a step.
    """
    height, width = recipe.img_size
    images = min(recipe.batch_size, -(-count // processes.count))
    check_memory(run.model, recipe.img_size, images if processes.device.type == "cpu" else 1)
    needed, free = images * height * width * 3 * 4, available_memory(str(processes.device))  # fp32, RGB
    if needed > free:
        raise MemoryLimitError(
            f"{images:,} images of {height} x {width} px need {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB "
            "are free: a smaller batch_size or img_size"
        )


def check_data(train: ImageData, validation: ImageData) -> None:
    """Refuse data from which nothing can be learned or told."""
    if train.num_classes < 2:
        raise OptionError(f"--data {train.name} has one class: there is nothing to tell apart")
    if not len(validation):
        raise OptionError(f"--data {train.name} has no validation images: nothing would tell what it learned")


def check_names(recipe: Recipe, about: About) -> None:
    """Refuse an optimizer or an augmentation that timm does not know."""
    known = need("timm.optim").list_optimizers()
    if recipe.opt not in known:
        raise OptionError(f"opt={recipe.opt} is not an optimizer of timm: {nearest(recipe.opt, known)}")
    try:
        with seeded(recipe.seed):  # what timm draws
            train_transform(about, recipe)(need("PIL.Image").new("RGB", (64, 64)))
    except SaevitError:
        raise
    except Exception as error:  # timm asserts, and its operations raise all kinds
        raise OptionError(
            f"aa={abbreviated(recipe.aa)} is no augmentation of timm, write one such as "
            f"rand-m9-mstd0.5-inc1: {abbreviated(repr(error))}"
        ) from error


def check_model(model: str, train: ImageData) -> float:
    """Refuse a variant for another number of classes; return the drop-path rate that it names."""
    if model.partition(":")[0] == "timm":
        return 0.0
    spec = parse(model)
    if "classes=" in model and spec.num_classes != train.num_classes:
        raise OptionError(
            f"{model} has {spec.num_classes} classes and --data {train.name} {train.num_classes}: "
            "leave out classes, the data says it"
        )
    return spec.drop_path_rate


def built(run: Run, recipe: Recipe, num_classes: int, drop_path_rate: float | None) -> nn.Module:
    """Build the network; a rate of 0 is not named."""
    net = build_network(
        run.model,
        recipe.img_size,
        num_classes=num_classes,
        drop_path_rate=drop_path_rate or None,
        seed=recipe.seed,
    )
    if run.grad_checkpointing:
        try:
            net.set_grad_checkpointing(True)  # type: ignore[operator]  # ours and timm's have it
        except (AssertionError, AttributeError) as error:
            raise OptionError(f"--grad-checkpointing: {run.model} does not support it") from error
    return net
