"""What `saevit train` shows: what is trained, how it goes, what came of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saevit.text import printable
from saevit.train.training_log import Epoch, best_of
from saevit_cli import output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from saevit.report.columns import Table
    from saevit.train.folder import Folder
    from saevit.train.job import Job
    from saevit.train.processes import Processes
    from saevit.train.recipe import Recipe
    from saevit.train.state import State


def recipe_table(recipe: "Recipe", base: str) -> "Table":
    """Return every value with where it is from."""
    from saevit.report.columns import Table, text_columns
    from saevit.train.recipe import shown
    from saevit.train.recipe_text import sources_of

    rows = [(name, shown(getattr(recipe, name)), source) for name, source in sources_of(recipe, base).items()]
    return Table(
        title=f"Recipe {base}",
        columns=text_columns("key", "value", "where it is from"),
        rows=tuple(rows),
        notes=("--set key=value changes one; a value that is empty follows from the network or the batch",),
    )


def introduce(job: "Job", state: "State", folder: "Folder", processes: "Processes", workers: int) -> None:
    """Say what is trained, on what and how; warnings of the data go to stderr."""
    from saevit.report.columns import Table, text_columns

    for data in (job.train, job.validation):
        for warning in data.warnings:
            output.warn(warning)
        if data.skipped:
            output.warn(f"{len(data.skipped)} files left out, the first: {data.skipped[0]}")
    for warning in job.warnings:
        output.warn(warning)
    rows = [
        ("data", job.train.statement),
        ("images", f"{len(job.train):,} to train on, {len(job.validation):,} to validate on"),
        ("network", network_text(job)),
        ("recipe", recipe_text(state)),
        ("update", update_text(job)),
        ("device", device_text(job, processes, workers)),
        ("folder", str(folder.path)),
    ]
    if state.run.teacher:
        rows.insert(3, ("teacher", f"{state.run.teacher}, weights of {state.run.teacher_checkpoint}"))
    if job.teacher and job.teacher.note:
        typer.echo(job.teacher.note, err=True)
    if state.is_begun:
        rows.append(("resumed", f"after epoch {len(state.rows)}, update {state.part.updates} of the next"))
    title = f"Training {job.about.model} on {Path(job.train.name).name}"
    output.show([Table(title=title, columns=text_columns("", "value"), rows=tuple(rows))])
    sys.stdout.flush()


def network_text(job: "Job") -> str:
    """Return parameters and exact MACs."""
    from saevit.report.units import giga, scaled, thousands

    height, width = job.recipe.img_size
    macs, by = macs_of(job)
    return (
        f"{scaled(job.params)} parameters, {giga(macs)} GMACs ({thousands(macs)} MACs) an image of "
        f"{height} x {width} px, counted by {by}"
    )


def macs_of(job: "Job") -> tuple[int, str]:
    """Count one image: a variant in closed form, a network of timm by torch's counter."""
    from saevit.count.cost import total
    from saevit.model.pyramid import SAEViT

    if isinstance(job.net, SAEViT):
        return int(total(job.net.spec, job.recipe.img_size).macs), "analytic"
    from saevit.count.torch_counter import count_torch
    from saevit.models import build_network

    net = build_network(job.run.model, job.recipe.img_size, num_classes=job.train.num_classes)
    return sum(count_torch(net, (1, job.about.in_chans, *job.recipe.img_size)).macs.values()), "torch"


def recipe_text(state: "State") -> str:
    """Return the recipe's name, and what differs from it."""
    from saevit.train.recipe import shown
    from saevit.train.recipe_text import BUILT_IN, differing

    changed = [
        f"{name} {shown(new) or 'none'} (not {shown(old) or 'none'})"
        for name, (new, old) in differing(state.recipe, BUILT_IN[state.base]).items()
        if old is not None
    ]
    seed = f"{state.base}, seed {state.recipe.seed}"
    return f"{seed}; {', '.join(changed)}" if changed else f"{seed}, as it is"


def update_text(job: "Job") -> str:
    """Return what an update is, and how many there are."""
    from saevit.report.units import plural

    sizes, recipe = job.sizes, job.recipe
    parts = [f"{sizes.images} images"]
    if sizes.processes > 1 or sizes.accumulate > 1:
        each = f"{sizes.processes} processes" if sizes.processes > 1 else "one process"
        parts.append(f"{sizes.batch_size} for each step of {each}, {plural(sizes.accumulate, 'step')}")
    parts.append(f"{plural(job.updates, 'update')} an epoch, {plural(recipe.epochs, 'epoch')}")
    parts.append(f"learning rate {recipe.lr:.3g}, drop path {recipe.drop_path_rate:g}")
    return ", ".join(parts)


def device_text(job: "Job", processes: "Processes", workers: int) -> str:
    """Return where and how it computes."""
    import torch

    device, run = processes.device, job.run
    name = f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
    parts = [name, "fp32" if run.amp == "none" else f"{run.amp} mixed"]
    parts += ["channels_last"] * run.channels_last + ["compiled"] * run.compile
    parts += ["gradient checkpointing"] * run.grad_checkpointing
    parts.append(f"{workers} workers read images" if workers else "images are read in the same process")
    return ", ".join(parts)


class Watcher:
    """Writes a line an epoch; on a terminal a bar moves below them."""

    def __init__(self, epochs: int, rows: tuple[Epoch, ...], bar: "Progress | None") -> None:
        self.epochs, self.rows, self.bar = epochs, list(rows), bar
        self.task: TaskID | None = bar.add_task("", total=None, left="") if bar else None

    def on_update(self, epoch: int, done: int, updates: int, images_per_s: float) -> None:
        """Move the bar."""
        if self.bar and self.task is not None:
            left = f"{images_per_s:,.0f} images/s"
            text = f"epoch {epoch}/{self.epochs}"
            self.bar.update(self.task, description=text, total=updates, completed=done, left=left)

    def on_epoch(self, row: Epoch) -> None:
        """Write the epoch's line."""
        self.rows.append(row)
        line = epoch_line(row, self.epochs, best_of(self.rows))
        if self.bar:
            self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)


def epoch_line(row: Epoch, epochs: int, best: Epoch | None) -> str:
    """Write an epoch in a line whose columns stay where they are."""
    width = len(str(epochs))
    seen = ""
    if row.val_top1 is not None and best is not None:
        seen = f"  val loss {row.val_loss:.4f}  top-1 {row.val_top1:6.2f} %, best {best.val_top1:.2f}"
    lost = f"  {row.skipped} unreadable" if row.skipped else ""
    return (
        f"epoch {row.epoch:{width}}/{epochs}  lr {row.lr:.2e}  loss {row.train_loss:.4f}{seen}  "
        f"{row.seconds:.1f} s, {row.images_per_s:,.0f} images/s{lost}"
    )


@contextmanager
def watcher(state: "State") -> Iterator[Watcher]:
    """Yield who writes and draws how it goes."""
    if not sys.stderr.isatty():
        yield Watcher(state.recipe.epochs, state.rows, None)
        return
    with output.progress_bar() as bar:
        yield Watcher(state.recipe.epochs, state.rows, bar)


def draw_curve(state: "State", job: "Job", folder: "Folder") -> bool:
    """Draw the learning curve, if there is an epoch to draw. Was it drawn?"""
    from saevit.report.figure import save
    from saevit.report.views.training import draw_learning_curve

    caption = (
        f"{job.about.model} on {Path(job.train.name).name}, recipe {state.base}, seed {state.recipe.seed}"
    )
    target = folder.curve if state.rows else None
    return output.write_all(
        ("curve", target, lambda: partial(save, draw_learning_curve(state.rows, caption)))
    )


def conclude(state: "State", job: "Job", folder: "Folder") -> None:
    """Say what was reached, where it lies and what can be done with it."""
    from saevit.report.columns import Table, text_columns

    best, rows = best_of(state.rows), []
    if best is not None:
        rows.append(("best", reached(best, job)))
        if state.rows[-1].val_top1 is not None:
            rows.append(("last", reached(state.rows[-1], job)))
    if state.rows:
        rows.append(("time", f"{sum(row.seconds for row in state.rows):.1f} s in epochs"))
    rows += [(file.name, str(file)) for file in folder.files if state.is_begun and file.is_file()]
    note = "the best epoch was chosen by the images it is judged on: the last one's top-1 is no such choice"
    output.show(
        [
            Table(
                title=ended(state, job),
                columns=text_columns("", "value"),
                rows=tuple(rows),
                notes=(note,) if best else (),
            )
        ]
    )
    commands = next_commands(job, folder) if best else []
    if len(state.rows) < state.recipe.epochs and is_kept(folder, state):
        commands.insert(0, resume_command(folder))
    typer.echo("\n".join(["Next:", *map(printable, commands)]))  # whole lines, to be copied


def ended(state: "State", job: "Job") -> str:
    """Say how far it came."""
    done, epochs = len(state.rows), state.recipe.epochs
    if done < epochs:
        return (
            f"Interrupted in epoch {done + 1} of {epochs}, after update {state.part.updates} of {job.updates}"
        )
    return f"{job.about.model} on {Path(job.train.name).name}, {done} epochs"


def reached(row: Epoch, job: "Job") -> str:
    """Write an epoch's accuracies; top-5 of five classes or fewer says nothing."""
    top5 = f", top-5 {row.val_top5:.2f} %" if job.train.num_classes > 5 else ""
    return f"top-1 {row.val_top1:.2f} %{top5} of {row.val_images:,} images, epoch {row.epoch}"


def next_commands(job: "Job", folder: "Folder") -> list[str]:
    """Return what takes the weights as they are."""
    from saevit.model.pyramid import SAEViT

    commands = ["eval", "export"]
    if isinstance(job.net, SAEViT) and job.net.spec.attention != "none":
        commands.append("visualize-attention")
    return [f"saevit {command} --checkpoint {folder.best}" for command in commands]


def resume_command(folder: "Folder") -> str:
    """Return the command that goes on with what is written of this run."""
    return f"saevit train --resume {folder.path}"


def is_kept(folder: "Folder", state: "State") -> bool:
    """Is anything of this run written, and not of an earlier one in its folder alone?"""
    from saevit.train.folder import is_of

    return state.is_begun or is_of(folder, state)
