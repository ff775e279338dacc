"""`saevit eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import typer

from saevit.errors import OptionError
from saevit.text import printable
from saevit_cli import options, output, readers
from saevit_cli.commands import evaluate_options as own

if TYPE_CHECKING:
    from saevit.measure.plan import Step
    from saevit.models import LoadedNetwork
    from saevit.runs.evaluation import Evaluation
    from saevit.runs.store import Writer
    from saevit.train.accuracy import EvalPlan
    from saevit.train.image_data import ImageData, Split


def evaluate(
    model: own.Model = None,
    width: options.Width = None,
    depth: options.Depth = None,
    rates: options.Rates = None,
    settings: options.Set = None,
    checkpoint: own.Checkpoint = None,
    img_size: own.ImgSize = None,
    data: own.Data = None,
    data_dir: own.DataDir = None,
    split: own.SplitName = "validation",
    workers: own.Workers = "0",
    batch_size: own.BatchSize = "64",
    device: options.Device = "auto",
    threads: options.Threads = None,
    json: own.Json = None,
    csv: own.Csv = None,
    store: options.Store = None,
    no_store: own.NoStore = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Measure what trained weights reach: top-1 and top-5 with intervals, calibration, throughput.

    The top-1 is kept as a measured record: `saevit compare ... --top1 SOURCE` draws it.
    """
    if checkpoint is None:
        raise OptionError("eval needs --checkpoint FILE: random weights measure nothing")
    output.check_targets(
        (("--json", json), ("--csv", csv)),
        overwrite=overwrite,
        inputs=[("--checkpoint", checkpoint), ("--data", data if Path(data or "").is_dir() else None)],
    )
    size = readers.read_size(img_size) if img_size else None
    batches, limit = readers.read_count("--batch-size", batch_size), threads
    readers_of_images = readers.read_count("--workers", workers, least=0, most=readers.MOST_PROCESSES)
    named = readers.read_network(
        model, width, depth, rates, settings, checkpoint=checkpoint, default="saevit_tiny"
    )
    from saevit.models import load_network
    from saevit.report import evaluation
    from saevit.train.accuracy import EvalPlan
    from saevit.train.loaders import WorkersFailed

    net = load_network(named, checkpoint, size)
    for note in net.notes:
        output.say(note)
    images = opened(net, checkpoint, data, split, data_dir)
    plan = EvalPlan(
        img_size=size, batch_size=batches, device=device, threads=limit, workers=readers_of_images
    )
    with output.kept(None if no_store else store, wanted=not no_store) as writer:
        try:
            found = evaluated(net, images, checkpoint, plan, quiet=output.STDOUT in (json, csv))
        except WorkersFailed as error:
            output.say(f"error: {error}")
            raise typer.Exit(output.FAILED) from error
        show(found, json, csv)  # before anything is written that may fail
        is_kept = writer is None or was_kept(found, writer)
    is_written = output.write_all(
        ("--json", json, lambda: evaluation.evaluation_json(found)),
        ("--csv", csv, lambda: evaluation.evaluation_csv(found)),
    )
    raise typer.Exit(0 if is_kept and is_written else output.FAILED)


def opened(
    net: "LoadedNetwork", checkpoint: Path, source: str | None, split: str, data_dir: Path | None
) -> "ImageData":
    """Open the data that are named, or those that the weights were trained on."""
    from saevit.train.data_sources import open_data
    from saevit.train.image_data import Split

    chosen = cast("Split", readers.one_of("--split", split, get_args(Split)))
    source = source or net.about.data
    if not source:
        raise OptionError(f"--checkpoint {checkpoint} does not say what it was trained on: add --data SOURCE")
    return open_data(source, chosen, root=data_dir)


def evaluated(
    net: "LoadedNetwork", images: "ImageData", checkpoint: Path, plan: "EvalPlan", *, quiet: bool
) -> "Evaluation":
    """Say what the data were read as, unless stdout is for others, and evaluate with a bar."""
    from saevit.train.accuracy import evaluate_network

    with output.progress() as tell:

        def on_step(step: "Step") -> None:
            if step.done == 0 and not quiet:
                typer.echo(f"Evaluating on {printable(images.statement)}\n")
            tell(step.text, step.done, step.eta)

        return evaluate_network(net, images, checkpoint, plan, on_step)


def show(found: "Evaluation", json: str | None, csv: str | None) -> None:
    """Show the tables, unless data go to stdout."""
    from saevit.report.evaluation import evaluation_tables
    from saevit.report.units import plural

    if output.STDOUT not in (json, csv):
        output.show(evaluation_tables(found))
    elif found.unreadable:
        count = plural(len(found.unreadable), "image")
        output.say(f"warning: {count} could not be read, first {found.unreadable[0]}")


def was_kept(found: "Evaluation", writer: "Writer") -> bool:
    """Keep the result, or say why not."""
    from saevit.runs.evaluation import keep

    try:
        keep(found, writer)
    except OptionError as error:
        output.say(f"error: --store: {error}")
        return False
    return True
