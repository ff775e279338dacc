"""What `saevit train` shows: the run at its start, its progress, and its results."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saevit.text import printable
from saevit.train.state import Epoch, best_epoch
from saevit_cli import display, output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from saevit.report.columns import View
    from saevit.train.preparation import PreparedRun
    from saevit.train.processes import Processes
    from saevit.train.recipe import Recipe
    from saevit.train.state import TrainingState


def recipe_view(recipe: "Recipe", base: str) -> "View":
    """Return every value of a recipe with its source."""
    from saevit.report.columns import View, text_table
    from saevit.train.recipe import format_value
    from saevit.train.recipe_files import list_sources

    sources = list_sources(recipe, base)
    rows = [(name, format_value(getattr(recipe, name)), source) for name, source in sources.items()]
    return View(
        tables=(text_table(f"Recipe {base}", ("key", "value", "~source"), rows),),
        notes=("--set key=value changes a value; an empty value follows from the network or the batch size",),
    )


def show_start(
    job: "PreparedRun", state: "TrainingState", folder: Path, processes: "Processes", workers: int
) -> None:
    """Show what is trained, on which data and how; warnings go to stderr."""
    from saevit.train.recipe_files import describe_recipe

    for data in (job.train, job.validation):
        for warning in data.warnings:
            display.warn(warning)
        if data.skipped:
            display.warn(f"{len(data.skipped)} files skipped, the first: {data.skipped[0]}")
    for warning in job.warnings:
        display.warn(warning)
    run = state.run
    rows = [
        ("data", job.train.statement),
        ("images", f"{len(job.train):,} for training, {len(job.validation):,} for validation"),
        ("network", network_text(job)),
        *([("teacher", f"{run.teacher}, weights of {run.teacher_checkpoint}")] if run.teacher else []),
        ("recipe", describe_recipe(state.recipe, state.base)),
        ("update", update_text(job)),
        ("device", device_text(job, processes, workers)),
        ("folder", str(folder)),
    ]
    if job.teacher and job.teacher.note:
        typer.echo(job.teacher.note, err=True)
    if state.is_begun:
        rows.append(("resumed", f"after epoch {len(state.rows)}, update {state.part.updates} of the next"))
    show_rows(f"Training {short_name(job)}", rows)
    sys.stdout.flush()


def show_rows(title: str, rows: list[tuple[str, str]], notes: tuple[str, ...] = ()) -> None:
    """Show names with their values."""
    from saevit.report.columns import View, text_table

    display.show(View(tables=(text_table(title, ("", "~value"), rows, notes),)))


def short_name(job: "PreparedRun") -> str:
    """Name the model and its data."""
    return f"{job.about.model} on {Path(job.train.name).name}"


def network_text(job: "PreparedRun") -> str:
    """Return parameters and exact MACs: of a variant in closed form, of other networks by torch."""
    from saevit.count.cost import count_network
    from saevit.model.pyramid import SAEViT
    from saevit.report.units import giga, scaled

    height, width = job.recipe.img_size
    if isinstance(job.net, SAEViT):
        macs, counter = int(count_network(job.net.spec, job.recipe.img_size).macs), "analytic"
    else:
        from saevit.count.torch_counter import count_torch
        from saevit.models import build_network

        net = build_network(job.run.model, job.recipe.img_size, num_classes=job.train.num_classes)
        macs, counter = sum(count_torch(net, (1, job.about.in_chans, height, width)).macs.values()), "torch"
    return (
        f"{scaled(job.params)} parameters, {giga(macs)} GMACs ({macs:,} MACs) per image of "
        f"{height} x {width} px, counted by {counter}"
    )


def update_text(job: "PreparedRun") -> str:
    """Return the size and the number of updates."""
    from saevit.text import plural

    sizes, recipe = job.sizes, job.recipe
    parts = [f"{sizes.per_update} images"]
    if sizes.processes > 1 or sizes.accumulate > 1:
        each = f"{sizes.processes} processes" if sizes.processes > 1 else "one process"
        parts.append(f"{sizes.batch_size} for each step of {each}, {plural(sizes.accumulate, 'step')}")
    parts.append(f"{plural(job.updates, 'update')} per epoch, {plural(recipe.epochs, 'epoch')}")
    parts.append(f"learning rate {recipe.lr:.3g}, drop path {recipe.drop_path_rate:g}")
    return ", ".join(parts)


def device_text(job: "PreparedRun", processes: "Processes", workers: int) -> str:
    """Return device, precision, and who reads the images."""
    import torch

    device, run = processes.device, job.run
    name = f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
    parts = [name, "fp32" if run.amp == "none" else f"{run.amp} mixed"]
    parts += ["channels_last"] * run.channels_last + ["compiled"] * run.compile
    parts += ["gradient checkpointing"] * run.grad_checkpointing
    parts.append(f"{workers} workers read images" if workers else "images are read in the same process")
    return ", ".join(parts)


class ProgressView:
    """Writes one line per epoch, with a progress bar below them on a terminal."""

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
        line = epoch_line(row, self.epochs, best_epoch(self.rows))
        if self.bar:
            self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line, err=True)


def epoch_line(row: Epoch, epochs: int, best: Epoch | None) -> str:
    """Write an epoch as a line with aligned columns."""
    width = len(str(epochs))
    validation = ""
    if row.val_top1 is not None and best is not None:
        validation = f"  val loss {row.val_loss:.4f}  top-1 {row.val_top1:6.2f} %, best {best.val_top1:.2f}"
    skipped = f"  {row.skipped} unreadable" if row.skipped else ""
    return (
        f"epoch {row.epoch:{width}}/{epochs}  lr {row.lr:.2e}  loss {row.train_loss:.4f}{validation}  "
        f"{row.seconds:.1f} s, {row.images_per_s:,.0f} images/s{skipped}"
    )


@contextmanager
def show_progress(state: "TrainingState") -> Iterator[ProgressView]:
    """Yield an observer that shows the progress on stderr."""
    if not sys.stderr.isatty():
        yield ProgressView(state.recipe.epochs, state.rows, None)
        return
    with display.make_bar() as bar:
        yield ProgressView(state.recipe.epochs, state.rows, bar)


def draw_curve(state: "TrainingState", job: "PreparedRun", folder: Path) -> bool:
    """Draw the learning curve if an epoch is finished; return False if it cannot be written."""
    from saevit.report.figure import save_figure
    from saevit.report.views.training import draw_learning_curve
    from saevit.train.run_folder import CURVE

    caption = f"{short_name(job)}, recipe {state.base}, seed {state.recipe.seed}"
    target = folder / CURVE if state.rows else None
    outputs = output.Outputs({"curve": target}, overwrite=True)
    return outputs.write({"curve": lambda: partial(save_figure, draw_learning_curve(state.rows, caption))})


def show_end(state: "TrainingState", job: "PreparedRun", folder: Path) -> None:
    """Show the accuracies, the files, and the commands that use them."""
    from saevit.train.run_folder import FILES

    done = len(state.rows)
    best, rows = best_epoch(state.rows), []
    if best is not None:
        rows.append(("best", accuracy_text(best, job)))
        if state.rows[-1].val_top1 is not None:
            rows.append(("last", accuracy_text(state.rows[-1], job)))
    if state.rows:
        rows.append(("time", f"{sum(row.seconds for row in state.rows):.1f} s in epochs"))
    if state.is_begun:
        rows += [(name, str(folder / name)) for name in FILES if (folder / name).is_file()]
    title = f"{short_name(job)}, {done} epochs"
    if not state.is_finished:
        updates = f"update {state.part.updates} of {job.updates}"
        title = f"Interrupted in epoch {done + 1} of {state.recipe.epochs}, after {updates}"
    note = "the best epoch was chosen by its accuracy on these images: only the last one's top-1 is unbiased"
    show_rows(title, rows, (note,) if best else ())
    commands = list_commands(job, folder) if best else []
    if not state.is_finished and is_written(folder, state):
        commands.insert(0, resume_command(folder))
    typer.echo("\n".join(["Next:", *map(printable, commands)]))  # not wrapped, to be copied


def accuracy_text(row: Epoch, job: "PreparedRun") -> str:
    """Write an epoch's accuracies; top-5 only of more than five classes."""
    top5 = f", top-5 {row.val_top5:.2f} %" if job.train.num_classes > 5 else ""
    return f"top-1 {row.val_top1:.2f} %{top5} of {row.val_images:,} images, epoch {row.epoch}"


def list_commands(job: "PreparedRun", folder: Path) -> list[str]:
    """Return the commands that use the best weights."""
    from saevit.model.pyramid import SAEViT
    from saevit.train.run_folder import BEST

    commands = ["eval", "export"]
    if isinstance(job.net, SAEViT) and job.net.spec.attention != "none":
        commands.append("visualize-attention")
    return [f"saevit {command} --checkpoint {folder / BEST}" for command in commands]


def resume_command(folder: Path) -> str:
    """Return the command that continues the run."""
    return f"saevit train --resume {folder}"


def is_written(folder: Path, state: "TrainingState") -> bool:
    """Tell whether the folder holds files of this run, not only of an earlier one."""
    from saevit.train.run_folder import holds_run

    return state.is_begun or holds_run(folder, state)
