"""`saevit eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import typer

from saevit.errors import OptionError
from saevit_cli import options, output, readers
from saevit_cli.commands import evaluate_options as own

if TYPE_CHECKING:
    from saevit.network import Weighted
    from saevit.results.evaluation import Evaluation
    from saevit.train.data import ImageData, Split
    from saevit.train.evaluate import EvalPlan


def evaluate(
    model: own.Model = None,
    width: options.Width = None,
    depth: options.Depth = None,
    sparsity: options.Sparsity = None,
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
    if not workers.strip().isdecimal():
        raise OptionError(f"--workers {workers}: a whole number of 0 or more")
    check_outputs(json, csv, overwrite=overwrite)
    size = readers.read_size(img_size) if img_size else None
    batches, limit = readers.read_count("--batch-size", batch_size), readers.read_threads(threads)
    named = None
    if model or width or depth or sparsity or settings:
        named = readers.read_model(model or "saevit_tiny", width, depth, sparsity, settings or [])
    from saevit.network import weighted
    from saevit.train.evaluate import EvalPlan

    net = weighted(named, checkpoint, size)
    found = evaluated(
        net,
        opened(net, checkpoint, data, split, data_dir),
        checkpoint,
        EvalPlan(img_size=size, batch_size=batches, device=device, threads=limit, workers=int(workers)),
        None if no_store else store,
        is_kept=not no_store,
    )
    emit(found, json, csv)


def opened(
    net: "Weighted", checkpoint: Path, source: str | None, split: str, data_dir: Path | None
) -> "ImageData":
    """Open the data that are named, or those that the weights were trained on."""
    from saevit.train.data import Split, open_data

    chosen = cast("Split", readers.one_of("--split", split, get_args(Split)))
    source = source or net.about.data
    if not source:
        raise OptionError(f"--checkpoint {checkpoint} does not say what it was trained on: add --data SOURCE")
    return open_data(source, chosen, root=data_dir)


def evaluated(
    net: "Weighted",
    images: "ImageData",
    checkpoint: Path,
    plan: "EvalPlan",
    store: Path | None,
    *,
    is_kept: bool,
) -> "Evaluation":
    """Evaluate with a bar, and keep the result."""
    from saevit.results.evaluation import keep
    from saevit.train.evaluate import evaluate

    with output.kept(store, wanted=is_kept) as writer:
        with output.progress() as tell:
            found = evaluate(
                net, images, checkpoint, plan, on_step=lambda step: tell(step.text, step.done, step.eta)
            )
        if writer:
            keep(found, writer)
    return found


def emit(found: "Evaluation", json: str | None, csv: str | None) -> None:
    """Write what was asked for; the tables go to stdout unless data does."""
    from saevit.report import evaluation

    if json:
        output.write_text(json, evaluation.evaluation_json(found))
    if csv:
        output.write_text(csv, evaluation.evaluation_csv(found))
    if output.STDOUT not in (json, csv):
        output.show(evaluation.evaluation_tables(found))
    elif found.unreadable:
        from saevit.report.units import plural

        count = plural(len(found.unreadable), "image")
        typer.echo(f"warning: {count} could not be read, first {found.unreadable[0]}", err=True)


def check_outputs(json: str | None, csv: str | None, *, overwrite: bool) -> None:
    """Refuse, before any work, what cannot be written."""
    output.check_one_stdout(json=json, csv=csv)
    output.check_target("--json", json, overwrite=overwrite)
    output.check_target("--csv", csv, overwrite=overwrite)
