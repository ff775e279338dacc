"""The output of `saevit train`: the settings at the start, the progress, and the results."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from saevit.errors import SaevitError
from saevit.files import name_source
from saevit.report.units import scaled, write_pixels
from saevit.text import plural, printable
from saevit.train.state import Epoch, best_epoch, write_log
from saevit_cli import display, output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from saevit.train.preparation import PreparedRun
    from saevit.train.processes import Processes
    from saevit.train.recipe import Recipe
    from saevit.train.state import TrainingState


def list_values(recipe: "Recipe", base: str) -> list[tuple[str, str, str]]:
    """Return (name, value, source) of every value of a recipe."""
    from saevit.train.recipe import format_value
    from saevit.train.recipe_files import list_sources

    sources = list_sources(recipe, base)
    return [(name, format_value(getattr(recipe, name)), source) for name, source in sources.items()]


def show_recipe(recipe: "Recipe", base: str) -> None:
    """Show every value of a recipe with its source."""
    from saevit.report.columns import View, make_table, row_values, write_csv, write_json
    from saevit.report.views.training import RECIPE_COLUMNS

    rows = list_values(recipe, base)
    outputs = output.Outputs({"--json": None, "--csv": None}, overwrite=False)
    outputs.show(
        View(
            result=f"The recipe {base} has {len(rows)} values; --set KEY=VALUE changes one.",
            tables=(make_table(f"Recipe {base}", RECIPE_COLUMNS, rows),),
            notes=("an empty value is computed from the network or the batch size",),
        )
    )
    values = [row_values(RECIPE_COLUMNS, row) for row in rows]
    outputs.write(
        {
            "--json": lambda: write_json({"recipe": base, "values": values}),
            "--csv": lambda: write_csv(RECIPE_COLUMNS, rows),
        }
    )


def show_start(
    job: "PreparedRun", state: "TrainingState", folder: Path, processes: "Processes", workers: int
) -> None:
    """Show the network, the data and the settings of a training; write warnings on stderr."""
    from saevit.report.columns import View, text_table
    from saevit.train.recipe_files import describe_recipe

    run, warnings = state.run, [*job.train.warnings, *job.validation.warnings]
    for data in (job.train, job.validation):
        if data.skipped:
            warnings.append(f"{plural(len(data.skipped), 'file')} skipped, the first: {data.skipped[0]}")
    for warning in dict.fromkeys((*warnings, *job.warnings)):
        display.warn(warning)
    macs, notes = describe_macs(job)
    rows = [
        ("images", f"{len(job.train):,} for training, {len(job.validation):,} for validation"),
        ("network", f"{scaled(job.params)} parameters, {macs}"),
        *([("start", job.start)] if job.start else []),
        *([("teacher", f"{run.teacher}, weights of {run.teacher_checkpoint}")] if run.teacher else []),
        ("recipe", describe_recipe(state.recipe, state.base)),
        ("update", describe_update(job)),
        ("device", describe_device(job, processes)),
        ("folder", str(folder)),
    ]
    if job.teacher and job.teacher.note:
        display.say(job.teacher.note)
    if state.is_begun:
        part = f", update {state.part.updates} of the next" if state.part.updates else ""
        rows.append(("resumed", f"after epoch {len(state.rows)}{part}"))
    readers = plural(workers, "worker process", "worker processes") if workers else "the training process"
    notes = [f"data: {job.train.statement}", *notes, f"images are read by {readers}"]
    if not (display.STYLE.get().quiet or is_data_asked()):
        title = f"Training {name_run(job)}"
        display.show(View(tables=(text_table(title, ("", "~value"), rows, notes),)))
    sys.stdout.flush()


def name_run(job: "PreparedRun") -> str:
    """Return the name of the model and of its data."""
    return f"{job.about.model} on {name_source(job.train.name)}"


def describe_macs(job: "PreparedRun") -> tuple[str, list[str]]:
    """Return the MACs per image as text, and a note with the exact count and its counter."""
    from saevit.count.cost import count_network
    from saevit.model.pyramid import SAEViT

    if isinstance(job.net, SAEViT):
        macs, counter = int(count_network(job.net.spec, job.recipe.img_size).macs), "analytic"
    else:
        from saevit.count.torch_counter import count_torch
        from saevit.models import build_network

        net = build_network(job.run.model, job.recipe.img_size, num_classes=job.train.num_classes)
        shape = (1, job.about.in_chans, *job.recipe.img_size)
        macs, counter = sum(count_torch(net, shape).macs.values()), "torch"
    text = f"{scaled(macs)} MACs per image of {write_pixels(job.recipe.img_size)}"
    return text, [f"network: {macs:,} MACs, counted by {counter}"]


def describe_update(job: "PreparedRun") -> str:
    """Write the size and the number of updates, the learning rate and the drop-path rate."""
    sizes, recipe = job.sizes, job.recipe
    parts = [f"{sizes.per_update} images"]
    if sizes.processes > 1 or sizes.accumulate > 1:
        each = f"{sizes.processes} processes x " if sizes.processes > 1 else ""
        parts = [f"{parts[0]} ({each}{plural(sizes.accumulate, 'step')} x {sizes.batch_size} images)"]
    parts.append(f"{plural(job.updates, 'update')} per epoch, {plural(recipe.epochs, 'epoch')}")
    parts.append(f"learning rate {recipe.lr:.3g}, drop path {recipe.drop_path_rate:g}")
    return ", ".join(parts)


def describe_device(job: "PreparedRun", processes: "Processes") -> str:
    """Write the device, the precision and the memory format."""
    import torch

    device, run = processes.device, job.run
    name = f"{device}, {plural(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else str(device)
    parts = [name, "fp32" if run.amp == "none" else f"mixed {run.amp}"]
    parts += ["channels_last"] * run.channels_last + ["torch.compile"] * run.compile
    parts += ["gradient checkpointing"] * run.grad_checkpointing
    return ", ".join(parts)


class ProgressView:
    """Writes one line per epoch on stdout, and shows a progress bar on stderr if it is a terminal."""

    def __init__(self, state: "TrainingState", bar: "Progress | None") -> None:
        self.epochs, self.rows, self.bar = state.recipe.epochs, list(state.rows), bar
        text = f"epoch {min(len(state.rows) + 1, self.epochs)}/{self.epochs}, reading images"
        self.task: TaskID | None = bar.add_task(text, total=None, left="") if bar else None

    def on_update(self, epoch: int, done: int, updates: int, images_per_s: float) -> None:
        """Move the bar."""
        if self.bar and self.task is not None:
            left = f"{images_per_s:,.0f} images/s"
            text = f"epoch {epoch}/{self.epochs}" + (", validating" if done == updates else "")
            self.bar.update(self.task, description=text, total=updates, completed=done, left=left)

    def on_epoch(self, row: Epoch) -> None:
        """Write the line of an epoch."""
        self.rows.append(row)
        if not display.STYLE.get().quiet:
            stream = sys.stderr if is_data_asked() else sys.stdout
            stream.write(f"{describe_epoch(row, self.epochs, best_epoch(self.rows))}\n")
            stream.flush()


def is_data_asked() -> bool:
    """Tell whether CSV or JSON goes to stdout, so that all lines go to stderr."""
    return display.STYLE.get().format in ("csv", "json")


def describe_epoch(row: Epoch, epochs: int, best: Epoch | None) -> str:
    """Write an epoch as a line with aligned columns."""
    width = len(str(epochs))
    validation = ""
    if row.val_top1 is not None and best is not None:
        validation = (
            f"  {row.val_weights} val loss {row.val_loss:.4f}  top-1 {row.val_top1:6.2f} % "
            f"(best {best.val_top1:.2f} %)"
        )
    if row.raw_top1 is not None:
        validation += f"  raw top-1 {row.raw_top1:6.2f} %"
    skipped = f"  {plural(row.skipped, 'unreadable image')}" if row.skipped else ""
    seconds = f"{row.seconds:.1f}" if row.seconds < 100 else f"{row.seconds:.0f}"
    return f"epoch {row.epoch:{width}}/{epochs}  loss {row.train_loss:.4f}{validation}  {seconds} s{skipped}"


@contextmanager
def show_progress(state: "TrainingState", processes: "Processes") -> Iterator[ProgressView]:
    """Yield an observer of the training; only the first process has a progress bar."""
    if not (processes.is_first and sys.stderr.isatty()) or display.STYLE.get().quiet:
        yield ProgressView(state, None)
        return
    with display.make_bar() as bar:
        yield ProgressView(state, bar)


def write_page(state: "TrainingState", job: "PreparedRun", folder: Path) -> bool:
    """Write the learning curve and the HTML page, if an epoch is finished; return False after an error."""
    from saevit.report.columns import make_table
    from saevit.report.views.training import (
        RECIPE_COLUMNS,
        draw_training,
        view_training_page,
        write_training_json,
    )
    from saevit.train.run_folder import CURVE, REPORT

    start = f", started from {name_source(state.run.init)}" if state.run.init else ""
    caption = f"{name_run(job)}, recipe {state.base}, seed {state.recipe.seed}{start}"
    if not state.rows:
        return True
    recipe = make_table(f"Recipe {state.base}", RECIPE_COLUMNS, list_values(state.recipe, state.base))
    contents: dict[str, output.Content] = {
        "--json": lambda: write_training_json(state),
        "--csv": lambda: write_log(state.rows),
        "--plot": lambda: draw_training(state, caption),
    }
    try:
        output.write_content(folder / CURVE, contents["--plot"]())
        page = output.make_page(view_training_page(state, recipe), contents, "training")
        output.write_content(folder / REPORT, page)
    except SaevitError as error:
        display.complain(str(error))
        return False
    return True


def show_end(state: "TrainingState", job: "PreparedRun", folder: Path) -> None:
    """Show the accuracies and the commands that use the weights."""
    from saevit.report.views.training import view_training, write_training_json

    outputs = output.Outputs({"--json": None, "--csv": None}, overwrite=False)
    outputs.show(view_training(state))
    outputs.write({"--json": lambda: write_training_json(state), "--csv": lambda: write_log(state.rows)})
    commands = list_commands(job, folder) if best_epoch(state.rows) else []
    if not state.is_finished and is_written(folder, state):
        commands.insert(0, resume_command(folder))
    if commands and not (display.STYLE.get().quiet or is_data_asked()):
        lines = [
            "",
            "Next:",
            *(f"  {printable(command)}" for command in commands),
        ]  # not wrapped, to be copied
        sys.stdout.write("\n".join(lines) + "\n")


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
    """Tell whether the folder has files of this run, not only of an earlier run."""
    from saevit.train.run_folder import holds_run

    return state.is_begun or holds_run(folder, state)
