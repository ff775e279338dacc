"""Prepare a training run: open the data, build the network, resolve the recipe, and check all settings."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from saevit.checkpoint import About
from saevit.count.cost import count_tokens
from saevit.errors import DataError, MeasureError, MemoryLimitError, OptionError, SaevitError, nearest, need
from saevit.files import expand
from saevit.machine import free_memory
from saevit.measure.progress import Tell
from saevit.models import build_network, check_memory, read_about, read_timm_model, resolve_model
from saevit.text import abbreviated, printable
from saevit.train.batches import BatchSizes, check_image_count, count_updates, use_seed
from saevit.train.data_sources import DIGITS, open_data
from saevit.train.image_data import ImageData, Split
from saevit.train.initial_weights import load_initial_weights
from saevit.train.objective import Teacher, load_teacher
from saevit.train.processes import Processes
from saevit.train.recipe import FEW_UPDATES, Recipe, advise, resolve_recipe
from saevit.train.state import TrainingRun, TrainingState
from saevit.train.tracking import check_trackers
from saevit.train.transforms import train_transform
from saevit.variant import VariantSpec

AMP_DTYPES: dict[str, torch.dtype | None] = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A training run with its resolved recipe, its opened data and its network on the CPU."""

    run: TrainingRun
    recipe: Recipe
    about: About
    net: nn.Module
    train: ImageData
    validation: ImageData
    sizes: BatchSizes
    teacher: Teacher | None
    warnings: tuple[str, ...] = ()
    start: str = ""  # the checkpoint that the weights are from; empty for random weights

    @property
    def params(self) -> int:
        """Count the parameters of the network."""
        return sum(p.numel() for p in self.net.parameters())

    @property
    def updates(self) -> int:
        """Count the updates of an epoch."""
        return count_updates(len(self.train), self.sizes)

    def new_state(self, base: str) -> TrainingState:
        """Return the state before the first update; `base` names the built-in recipe."""
        return TrainingState(
            run=self.run,
            recipe=self.recipe,
            base=base,
            processes=self.sizes.processes,
            data=(self.train.identity, self.validation.identity),
        )

    def check_state(self, state: TrainingState) -> TrainingState:
        """Check that a stored state fits this run, and return it.

        Raises:
            OptionError: the data or the number of processes have changed, or the state has too many updates.
        """
        if not state.is_begun:  # the state may be made from recipe.toml only
            return replace(self.new_state(state.base), run=state.run, started=state.started)
        if self.sizes.processes != state.processes:
            raise OptionError(
                f"--resume: the run began with {state.processes} processes, not {self.sizes.processes}: "
                "start the same number to get the same results"
            )
        for before, now in zip(state.data, (self.train, self.validation), strict=True):
            if changes := before.changes(now.identity):
                raise OptionError(
                    f"--resume: {printable(now.name)} ({now.split}) has changed since the run began: "
                    f"{changes}; restore the data, or start a new run with another --output"
                )
        if state.part.updates > self.updates:
            done = state.part.updates
            raise OptionError(
                f"--resume: {done} updates of the epoch are done, but an epoch has {self.updates}"
            )
        return state


def prepare_run(
    run: TrainingRun,
    recipe: Recipe,
    processes: Processes,
    tell: Tell = lambda step: None,
    *,
    is_begun: bool = False,
) -> PreparedRun:
    """Open the data, build the network and the teacher, and resolve the recipe.

    Args:
        run: the settings of the run.
        recipe: the recipe, not resolved.
        processes: the processes that train together.
        tell: called with the progress of opening the data.
        is_begun: whether a stored state has the weights, so that the checkpoint of --init is not needed.

    Raises:
        SaevitError: data, network or teacher cannot be used, or do not fit together.
    """
    if run.amp not in AMP_DTYPES:
        raise OptionError(f"--amp {run.amp} is not known: {nearest(run.amp, AMP_DTYPES)}")
    check_trackers(run.log)
    train, validation = open_splits(run, recipe.img_size, tell)
    own_drop_path = check_classes_of(run.model, train)
    sizes = BatchSizes(batch_size=recipe.batch_size, processes=processes.count, accumulate=recipe.accumulate)
    check_image_count(len(train), sizes)
    check_sizes(run, recipe, len(train), processes)
    net, resolved = build_and_resolve(run, recipe, train.num_classes, own_drop_path, processes.count)
    start = ""
    if run.init and not is_begun:
        size, sha256 = recipe.img_size, run.init_sha256
        found = load_initial_weights(net, run.model, expand(run.init), train, img_size=size, sha256=sha256)
        run, start = replace(run, init_sha256=found.sha256), found.note
    about = replace(
        read_about(net, run.model, recipe.img_size), class_names=train.class_names, data=train.name
    )
    check_timm_names(resolved, about)
    few = 0 if run.init or run.data == DIGITS else FEW_UPDATES  # 460 updates suffice for digits (docs/log.md)
    advice = advise(recipe, resolved, updates=count_updates(len(train), sizes), few=few)
    return PreparedRun(
        run=run,
        recipe=resolved,
        about=about,
        net=net,
        train=train,
        validation=validation,
        sizes=sizes,
        teacher=build_teacher(run, about, processes.device),
        start=start,
        warnings=tuple(filter(None, (advice, warn_of_single_tokens(run, recipe.img_size)))),
    )


def open_splits(
    run: TrainingRun, img_size: tuple[int, int], tell: Tell = lambda step: None
) -> tuple[ImageData, ImageData]:
    """Open the training and the validation images; raise DataError without validation images or classes."""
    root = expand(run.data_dir) if run.data_dir else None
    splits: tuple[Split, Split] = ("train", "validation")
    train, validation = (open_data(run.data, s, root=root, size=max(img_size), tell=tell) for s in splits)
    if train.num_classes < 2:
        raise DataError(f"{train.name} has one class: training needs two or more classes")
    if not len(validation):
        raise DataError(
            f"{train.name} has no validation images: training needs them to choose the best epoch"
        )
    return train, validation


def check_classes_of(model: str, train: ImageData) -> float:
    """Raise OptionError if a model's text sets other classes than the data; return its drop-path rate."""
    named = resolve_model(model)
    read = named if isinstance(named, VariantSpec) else read_timm_model(named)
    if "classes=" in model and read.num_classes != train.num_classes:
        raise OptionError(
            f"{model} has {read.num_classes} classes and --data {train.name} has {train.num_classes}: "
            "remove classes= from the model, the number follows from the data"
        )
    return read.drop_path_rate if isinstance(read, VariantSpec) else 0.0


def warn_of_single_tokens(run: TrainingRun, img_size: tuple[int, int]) -> str:
    """Return a warning if every attention block of a variant has a single token, else an empty text."""
    spec = resolve_model(run.model)
    if not isinstance(spec, VariantSpec):
        return ""
    tokens = [
        found.sampled
        for stage, found in zip(spec.stages, count_tokens(spec, img_size), strict=True)
        if stage.attn_blocks
    ]
    if max(tokens, default=2) > 1:
        return ""
    trying = f"; {DIGITS} are for trying the command only" if run.data == DIGITS else ""
    return (
        f"images of {img_size[0]} x {img_size[1]} px are too small for attention: each stage has one token"
        f"{trying}"
    )


def check_sizes(run: TrainingRun, recipe: Recipe, count: int, processes: Processes) -> None:
    """Raise MemoryLimitError if, by their exact counts, network and batch cannot fit in memory."""
    height, width = recipe.img_size
    images = min(recipe.batch_size, -(-count // processes.count))
    check_memory(run.model, recipe.img_size, images if processes.device.type == "cpu" else 1)
    needed, free = images * height * width * 3 * 4, free_memory(str(processes.device))  # fp32, RGB
    if needed > free:
        raise MemoryLimitError(
            f"{images:,} images of {height} x {width} px need {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB "
            "are free: use a smaller batch_size or img_size"
        )


def build_and_resolve(
    run: TrainingRun, recipe: Recipe, num_classes: int, own_drop_path: float, processes: int
) -> tuple[nn.Module, Recipe]:
    """Build the network, and resolve the recipe, which depends on the number of parameters."""

    def build(drop_path_rate: float | None) -> nn.Module:
        net = build_network(
            run.model,
            recipe.img_size,
            num_classes=num_classes,
            drop_path_rate=drop_path_rate or None,  # 0 is not passed: some networks lack the argument
            seed=recipe.seed,
        )
        if run.grad_checkpointing:
            try:
                net.set_grad_checkpointing(True)  # type: ignore[operator]  # variants and timm's networks have it
            except (AssertionError, AttributeError) as error:
                raise OptionError(f"--grad-checkpointing: {run.model} does not support it") from error
        return net

    net = build(own_drop_path)
    params = sum(p.numel() for p in net.parameters())
    resolved = resolve_recipe(recipe, params=params, own_drop_path=own_drop_path, processes=processes)
    try:
        return build(resolved.drop_path_rate), resolved
    except MeasureError:
        if recipe.drop_path_rate is not None:
            raise
        return net, replace(resolved, drop_path_rate=0.0)  # some of timm's networks have no drop path


def check_timm_names(recipe: Recipe, about: About) -> None:
    """Raise OptionError unless timm has the optimizer and the augmentation of a recipe."""
    known = need("timm.optim").list_optimizers()
    if recipe.opt not in known:
        raise OptionError(f"opt={recipe.opt} is not an optimizer of timm: {nearest(recipe.opt, known)}")
    try:
        with use_seed(recipe.seed):  # the transform draws random numbers
            train_transform(about, recipe)(need("PIL.Image").new("RGB", (64, 64)))
    except SaevitError:
        raise
    except Exception as error:  # timm asserts, and its operations raise errors of any type
        raise OptionError(
            f"aa={abbreviated(recipe.aa)} is not an augmentation of timm, such as "
            f"rand-m9-mstd0.5-inc1: {abbreviated(repr(error))}"
        ) from error


def build_teacher(run: TrainingRun, about: About, device: torch.device) -> Teacher | None:
    """Build the teacher of a run; None without distillation."""
    if not run.teacher:
        return None
    if not run.teacher_checkpoint:
        raise OptionError(f"--teacher {run.teacher} needs its weights: add --teacher-checkpoint FILE")
    return load_teacher(run.teacher, expand(run.teacher_checkpoint), about, device)
