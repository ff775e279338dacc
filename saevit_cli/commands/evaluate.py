"""`saevit eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saevit.errors import OptionError
from saevit.text import printable
from saevit.train.image_data import Split
from saevit_cli import display, options, output, readers

if TYPE_CHECKING:
    from saevit.measure.progress import NextStep
    from saevit.runs.evaluation import Evaluation
    from saevit.runs.store import Writer

of_data = options.in_panel("Data")
Data = Annotated[
    str | None,
    of_data(
        metavar="SOURCE",
        help="Images: digits (from scikit-learn), a folder with train/ and val/ or with class folders, "
        "torch/NAME or hfds/NAME; the default is the data that --checkpoint was trained on.",
    ),
]
DataDir = Annotated[
    Path | None,
    of_data(metavar="DIR", help="Folder with the data of torch/NAME or hfds/NAME; nothing is downloaded."),
]
SplitName = Annotated[Split, of_data("--split", help="Images to evaluate.")]
Workers = Annotated[
    int,
    of_data(
        parser=readers.count_reader(least=0, most=readers.MOST_PROCESSES),
        metavar="N",
        help="Number of processes that read images; 0, the default, reads them in this process.",
    ),
]
Csv = Annotated[str | None, options.csv_option("one row")]
NoStore = Annotated[
    bool, options.of_output("--no-store", help="Do not store the result for compare and results.")
]


def evaluate(
    model: options.CheckpointModel = None,
    width: options.Width = None,
    depth: options.Depth = None,
    rates: options.Rates = None,
    classes: options.Classes = None,
    settings: options.Set = None,
    checkpoint: options.Checkpoint = None,
    img_size: options.CheckpointImgSize = None,
    data: Data = None,
    data_dir: DataDir = None,
    split: SplitName = "validation",
    workers: Workers = 0,
    batch_size: options.BatchSize = 64,
    device: options.Device = "auto",
    threads: options.Threads = None,
    report: options.Report = None,
    json: options.Json = None,
    csv: Csv = None,
    store: options.Store = None,
    no_store: NoStore = False,
    overwrite: options.Overwrite = False,
) -> int:
    """Measure the accuracy of trained weights: top-1 and top-5 with intervals, calibration, throughput.

    The top-1 is stored as a measured record; `saevit compare ... --top1 SOURCE` draws it.
    """
    if checkpoint is None:
        raise OptionError("eval needs --checkpoint FILE: the accuracy of random weights means nothing")
    outputs = output.Outputs(
        {"--json": json, "--csv": csv, "--report": report},
        overwrite=overwrite,
        inputs=[("--checkpoint", checkpoint), ("--data", data if Path(data or "").is_dir() else None)],
    )
    subject = readers.read_network(
        model, width, depth, rates, settings, classes, checkpoint=checkpoint, default="saevit_tiny"
    )
    from saevit.models import load_network
    from saevit.report.columns import View
    from saevit.report.views.evaluation import (
        tabulate_evaluation,
        write_evaluation_csv,
        write_evaluation_json,
    )
    from saevit.train.accuracy import EvalPlan, evaluate_network
    from saevit.train.data_sources import open_data
    from saevit.train.loaders import WorkersFailed

    network = load_network(subject, checkpoint, img_size)
    for note in network.notes:
        display.say(note)
    source = data or network.about.data
    if not source:
        raise OptionError(f"--checkpoint {checkpoint} does not name its training data: add --data SOURCE")
    images = open_data(source, split, root=data_dir)
    plan = EvalPlan(img_size=img_size, batch_size=batch_size, device=device, threads=threads, workers=workers)
    with outputs.kept(store, wanted=not no_store) as writer:
        try:
            with display.show_progress() as tell:

                def on_step(step: "NextStep") -> None:
                    if step.done == 0 and not outputs.use_stdout:
                        typer.echo(f"Evaluating on {printable(images.statement)}\n")
                    tell(step.text, step.done, step.eta)

                result = evaluate_network(network, images, checkpoint, plan, on_step)
        except WorkersFailed as error:
            display.complain(f"{error}")
            return output.FAILED
        outputs.show(View(tables=tabulate_evaluation(result)))  # before anything is written that may fail
        if outputs.use_stdout and result.unreadable:
            display.warn(f"unreadable images: {len(result.unreadable)}, the first: {result.unreadable[0]}")
        is_stored = writer is None or store_result(result, writer)
    is_written = outputs.write(
        {"--json": lambda: write_evaluation_json(result), "--csv": lambda: write_evaluation_csv(result)}
    )
    return output.exit_code(failed=not (is_stored and is_written))


def store_result(result: "Evaluation", writer: "Writer") -> bool:
    """Store the result, and return whether that worked; the reason goes to stderr."""
    from saevit.runs.evaluation import keep_evaluation

    try:
        keep_evaluation(result, writer)
    except OptionError as error:
        display.complain(f"--store: {error}")
        return False
    return True
