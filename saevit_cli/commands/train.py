"""`saevit train`."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saevit.errors import OptionError, SaevitError
from saevit.files import as_text, expand, file_type
from saevit_cli import display, options, output, readers
from saevit_cli.commands import train_options as own

if TYPE_CHECKING:
    from saevit.train.preparation import PreparedRun
    from saevit.train.processes import Processes
    from saevit.train.recipe import Recipe
    from saevit.train.state import TrainingState

BAD_INPUT = 2
PATHS = ("data", "data_dir", "teacher_checkpoint")  # of a run, so that it can go on from another folder


def train(
    model: own.Model = None,
    width: options.Width = None,
    depth: options.Depth = None,
    rates: options.Rates = None,
    data: own.Data = None,
    data_dir: own.DataDir = None,
    teacher: own.Teacher = None,
    teacher_checkpoint: own.TeacherCheckpoint = None,
    val_every: own.ValEvery = None,
    recipe: own.RecipeName = None,
    settings: own.Set = None,
    epochs: own.Epochs = None,
    batch_size: own.BatchSize = None,
    accumulate: own.Accumulate = None,
    lr: own.LearningRate = None,
    seed: own.Seed = None,
    img_size: own.ImgSize = None,
    show_recipe: own.ShowRecipe = False,
    device: own.Device = "auto",
    workers: own.Workers = None,
    amp: own.Amp = None,
    channels_last: own.ChannelsLast = None,
    compiled: own.Compile = None,
    grad_checkpointing: own.GradCheckpointing = None,
    target: own.Output = None,
    resume: own.Resume = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Train a variant or any timm model by a well-known recipe; a run that was stopped goes on with --resume.

    Alone, or with `torchrun --nproc-per-node N -m saevit_cli train ...` and `accelerate launch` in several
    processes. Writes weights, log, learning curve and every value used into one folder.
    """
    values = {
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "lr": lr,
        "seed": seed,
        "img_size": img_size,
    }
    chosen = {
        "data": data,
        "data_dir": None if data_dir is None else str(data_dir),
        "teacher": teacher,
        "teacher_checkpoint": None if teacher_checkpoint is None else str(teacher_checkpoint),
        "val_every": None if val_every is None else readers.read_count("--val-every", val_every),
        "amp": own.amp_of(amp),
        "channels_last": channels_last,
        "compile": compiled,
        "grad_checkpointing": grad_checkpointing,
    }
    machine = Machine(device=device, workers=own.read_workers(workers))
    texts = (width, depth, rates)
    if resume is not None:
        refuse_beside_resume(
            {"MODEL": model, "--recipe": recipe, "--set": settings, "--output": target}
            | {f"--{name.replace('_', '-')}": value for name, value in (values | chosen).items()}
            | dict(zip(("--width", "--depth", "--rates"), texts, strict=True))
            | {"--overwrite": overwrite or None, "--show-recipe": show_recipe or None}
        )
        raise typer.Exit(guarded(lambda: resumed(resume, machine)))
    request = read_request(model, texts, recipe, settings or [], values, chosen)
    if show_recipe:
        from saevit_cli.commands.train_view import recipe_table

        display.show_tables([recipe_table(request.recipe, request.base)])
        return
    raise typer.Exit(guarded(lambda: started(request, target, machine, recipe, overwrite=overwrite)))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the results do not depend on."""

    device: str
    workers: int | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A run as the user asked for it."""

    run: "dict[str, Any]"
    recipe: "Recipe"
    base: str


def read_request(
    model: str | None,
    texts: tuple[str | None, str | None, str | None],
    recipe: str | None,
    settings: list[str],
    values: dict[str, str | None],
    chosen: dict[str, Any],
) -> Request:
    """Put defaults, the recipe's file and the options together, the later ones on top."""
    from saevit.train.recipe import RULES
    from saevit.train.recipe_files import BUILT_IN

    of_recipe, of_variant = own.split_settings(settings, tuple(RULES))
    default = own.DATA if chosen["data"] in (None, own.DATA) else "imagenet"
    base, found, said = own.read_recipe(recipe or default, of_recipe, values)
    known = {name: value for name, value in said.items() if name in chosen}
    run = known | {name: value for name, value in chosen.items() if value is not None}
    run["data"] = run.get("data", own.DATA)
    run |= {name: located(run[name]) for name in PATHS if run.get(name)}
    if recipe is None:
        assert base in BUILT_IN
    text = model or said.get("model") or own.MODEL
    run["model"] = str(readers.read_model(str(text), *texts, of_variant))
    if run["model"].partition(":")[0] == "birder":
        raise OptionError(f"{run['model']} cannot be trained here: name a SAEViT variant or timm:NAME")
    return Request(run=run, recipe=found, base=base)


def located(text: str) -> str:
    """Write a path from the root, where it is one."""
    path = expand(text)
    return as_text(path.resolve()) if text != own.DATA and file_type(path) != "missing" else text


def refuse_beside_resume(given: dict[str, Any]) -> None:
    """Refuse what the folder of a run knows better."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise OptionError(
            f"--resume takes model, data and recipe from its folder: leave {', '.join(names)} out"
        )


def guarded(work: Any) -> int:
    """Let the first process of several tell what all of them find wrong, and each what it alone does."""
    from saevit.train.processes import OtherProcessError, OwnProcessError, is_first_process

    try:
        code: int = work()
        return code
    except OtherProcessError:
        return BAD_INPUT
    except OwnProcessError:
        raise
    except SaevitError:
        if is_first_process():
            raise
        return BAD_INPUT


def started(
    request: Request, target: Path | None, machine: Machine, recipe: str | None, *, overwrite: bool
) -> int:
    """Begin a run."""
    from saevit.train.preparation import prepare_run
    from saevit.train.processes import join_processes
    from saevit.train.recipe_files import BUILT_IN
    from saevit.train.run_folder import FILES, claim_folder, default_folder
    from saevit.train.state import TrainingRun

    run = TrainingRun(**request.run)
    folder = target if target else default_folder(run.model, run.data)
    data = expand(run.data)
    read = {
        "--data": data if data.is_absolute() else None,
        "--recipe": None if recipe in BUILT_IN else recipe,
        "--teacher-checkpoint": expand(run.teacher_checkpoint) if run.teacher_checkpoint else None,
    }
    output.check_roles(
        (("--output", file) for file in (folder, *(folder / name for name in FILES))), read.items()
    )
    with join_processes(machine.device) as processes, ExitStack() as stack:
        job = processes.run_in_all(lambda: prepare_run(run, request.recipe, processes))
        processes.run_in_first(lambda: stack.enter_context(claim_folder(folder, overwrite=overwrite)))
        return followed(job, job.new_state(request.base), folder, processes, machine)


def resumed(path: Path, machine: Machine) -> int:
    """Go on with a run."""
    from saevit.train.preparation import prepare_run
    from saevit.train.processes import join_processes
    from saevit.train.run_folder import claim_folder, read_state

    folder = path
    with join_processes(machine.device) as processes, ExitStack() as stack:
        processes.run_in_first(lambda: stack.enter_context(claim_folder(folder, resume=True)))
        found = processes.run_in_all(lambda: read_state(folder))
        job = processes.run_in_all(lambda: prepare_run(found.run, found.recipe, processes))
        state = processes.run_in_all(lambda: job.check_state(found))
        return followed(job, state, folder, processes, machine)


def followed(
    job: "PreparedRun", state: "TrainingState", folder: Path, processes: "Processes", machine: Machine
) -> int:
    """Train while the user watches, then say what came of it."""
    from saevit.train.loop import train_network
    from saevit.train.processes import OtherProcessError
    from saevit_cli.commands import train_view as view
    from saevit_cli.commands.train_signals import stop_requests

    workers = own.workers_for(machine.workers, state.run.data)
    if processes.is_first:
        view.show_start(job, state, folder, processes, workers)
    with stop_requests() as stopped, view.show_progress(state) as observer:
        try:
            state = train_network(
                job, state, folder, processes, observer, workers=workers, is_stopped=stopped
            )
        except OtherProcessError:
            return output.FAILED
        except SaevitError as error:
            way = (
                f"go on with: {view.resume_command(folder)}"
                if view.is_written(folder, state)
                else "nothing of it is written"
            )
            output.say(f"error: {error}; {way}")
            return output.FAILED
    drawn = True
    if processes.is_first:
        view.show_end(state, job, folder)
        drawn = view.draw_curve(state, job, folder)
    if not state.is_finished:
        return output.INTERRUPTED
    return 0 if drawn else output.FAILED
