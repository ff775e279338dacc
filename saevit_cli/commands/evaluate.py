"""`saevit eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from saevit.errors import OptionError
from saevit.files import ICONS
from saevit.measure.progress import NextStep
from saevit.train.image_data import Split
from saevit_cli import display, options, output, readers

if TYPE_CHECKING:
    from saevit.runs.evaluation import Evaluation
    from saevit.runs.store import Writer

of_data = options.in_panel("Data")
Data = Annotated[
    str | None,
    of_data(
        metavar="SOURCE",
        help="Images: a folder with train/ and val/ or with one folder per class, torch/NAME, hfds/NAME, "
        "icons:FILE (the npm package @iconify/json as .tgz or folder; `npm pack @iconify/json` gets it), or "
        "digits (of scikit-learn); the default is the data that --checkpoint was trained on.",
    ),
]
DataDir = Annotated[
    Path | None,
    of_data(metavar="DIR", help="Folder with the data of torch/NAME or hfds/NAME; nothing is downloaded."),
]
SplitName = Annotated[
    Split, of_data("--split", metavar="SPLIT", help="Images to evaluate: validation, train or all.")
]
Workers = Annotated[
    int,
    of_data(
        parser=readers.count_reader(least=0, most=readers.MOST_PROCESSES),
        metavar="N",
        help="Number of processes that read images; 0 reads them in the main process.",
    ),
]
Csv = Annotated[str | None, options.csv_option("one row")]
NoStore = Annotated[
    bool, options.of_output("--no-store", help="Do not store the result for `compare` and `results`.")
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

    The result is stored: `saevit compare ... --top1 SOURCE` shows this top-1 beside other models.
    """
    if checkpoint is None:
        raise OptionError("eval needs trained weights: pass --checkpoint FILE")
    images_at = data.removeprefix(ICONS) if data else ""
    outputs = output.Outputs(
        {"--json": json, "--csv": csv, "--report": report},
        overwrite=overwrite,
        inputs=[
            ("--checkpoint", checkpoint),
            ("--data", images_at if images_at and Path(images_at).exists() else None),
        ],
    )
    subject = readers.read_network(
        model, width, depth, rates, settings, classes, checkpoint=checkpoint, default="saevit_tiny"
    )
    from saevit.loading import load_network
    from saevit.report.views.evaluation import view_evaluation, write_evaluation_csv, write_evaluation_json
    from saevit.train.accuracy import EvalPlan, evaluate_network
    from saevit.train.data_sources import open_data
    from saevit.train.loaders import WorkersFailed

    plan = EvalPlan(img_size=img_size, batch_size=batch_size, device=device, threads=threads, workers=workers)
    with outputs.kept(store, wanted=not no_store) as writer:
        try:
            with display.show_progress() as on_progress:
                network = load_network(subject, checkpoint, img_size)
                source = data or network.about.data
                if not source:
                    raise OptionError(
                        f"--checkpoint {checkpoint} does not name its training data: add --data SOURCE"
                    )
                on_progress(NextStep(text=f"reading {source}"))
                size = max(img_size or network.about.img_size)
                images = open_data(source, split, root=data_dir, size=size, tell=on_progress)
                result = evaluate_network(network, images, checkpoint, plan, on_progress)
        except WorkersFailed as error:
            display.complain(f"{error}")
            return output.FAILED
        is_stored = writer is None or store_result(result, writer)
    for note in network.notes:
        display.say(note)
    outputs.show(view_evaluation(result))
    is_written = outputs.write(
        {"--json": lambda: write_evaluation_json(result), "--csv": lambda: write_evaluation_csv(result)}
    )
    return output.exit_code(failed=not (is_stored and is_written))


def store_result(result: "Evaluation", writer: "Writer") -> bool:
    """Store the result, and return whether that succeeded; write an error on stderr."""
    from saevit.runs.evaluation import keep_evaluation

    try:
        keep_evaluation(result, writer)
    except OptionError as error:
        display.complain(f"--store: {error}")
        return False
    return True
