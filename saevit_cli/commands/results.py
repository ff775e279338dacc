"""`saevit results`: the stored runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saevit.errors import OptionError
from saevit_cli import display, options, output

if TYPE_CHECKING:
    from saevit.runs.run import Run

results = typer.Typer(no_args_is_help=True, help="List, show, compare and export stored runs.")

NAMES = "`latest`, the start of a name in `saevit results list`, or a .jsonl file"
RunName = Annotated[str, typer.Argument(metavar="RUN", help=f"Run: {NAMES}.")]
FirstRun = Annotated[str, typer.Argument(metavar="RUN_A", help=f"First run: {NAMES}.")]
SecondRun = Annotated[str, typer.Argument(metavar="RUN_B", help=f"Second run: {NAMES}.")]
RunNames = Annotated[
    list[str] | None, typer.Argument(metavar="RUN", help=f"Runs, each {NAMES}; the default is all runs.")
]
ListCsv = Annotated[str | None, options.csv_option("one row per run")]
ChangesCsv = Annotated[str | None, options.csv_option("one row per change")]
RecordsCsv = Annotated[str | None, options.csv_option("one row per record, in timm's columns")]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Model that ratios are relative to; the default is the first one that both runs have.",
    ),
]
Target = Annotated[
    str,
    options.of_output(
        "--output",
        metavar="FILE",
        help="File to write: one row per record (.csv, .jsonl) or complete runs (.json).",
    ),
]


@results.command("list")
def list_runs(
    json: options.Json = None,
    csv: ListCsv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> int:
    """List the stored runs, the newest last."""
    from saevit.report.views.listing import view_runs, write_list_csv, write_list_json
    from saevit.runs.store import default_folder, list_runs

    outputs = output.Outputs({"--json": json, "--csv": csv}, overwrite=overwrite)
    found = list_runs(store)
    outputs.show(view_runs(found, str(store or default_folder())))
    is_written = outputs.write(
        {"--json": lambda: write_list_json(found), "--csv": lambda: write_list_csv(found)}
    )
    return output.exit_code(failed=not is_written or any(run.problem for run in found))


@results.command("show")
def show_run(
    run: RunName,
    json: options.Json = None,
    csv: RecordsCsv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Show one run: latencies with ratios and spread, counts, accuracy, the machine."""
    from saevit.report.views.listing import write_records_csv, write_run_json
    from saevit.report.views.run import view_run
    from saevit.runs.store import find_run, read_run

    path = find_run(run, store, on_skip=display.warn)
    outputs = output.Outputs({"--json": json, "--csv": csv}, overwrite=overwrite, inputs=[("RUN", path)])
    found = read_run(path)
    outputs.show(view_run(found))
    is_written = outputs.write(
        {"--json": lambda: write_run_json(found), "--csv": lambda: write_records_csv([found])}
    )
    return output.exit_code(failed=not is_written)


@results.command("diff")
def diff_runs(
    run_a: FirstRun,
    run_b: SecondRun,
    reference: Reference = None,
    json: options.Json = None,
    csv: ChangesCsv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Compare two runs, relative to a model that both measured."""
    from saevit.report.views.diff import view_diff, write_diff_csv, write_diff_json
    from saevit.runs.diff import diff_runs
    from saevit.runs.store import find_run, read_run

    paths = find_run(run_a, store, on_skip=display.warn), find_run(run_b, store)
    outputs = output.Outputs(
        {"--json": json, "--csv": csv}, overwrite=overwrite, inputs=[("RUN", path) for path in paths]
    )
    first, second = map(read_run, paths)
    found = diff_runs(first, second, reference=reference)
    outputs.show(view_diff(found, first, second))
    is_written = outputs.write(
        {"--json": lambda: write_diff_json(found), "--csv": lambda: write_diff_csv(found)}
    )
    return output.exit_code(failed=not is_written)


@results.command("export")
def export_runs(
    target: Target, runs: RunNames = None, store: options.Store = None, overwrite: options.Overwrite = False
) -> int:
    """Write the records of one, several or all runs to one file."""
    from saevit.report.views.listing import write_records_csv, write_records_lines, write_runs_json

    writers = {".csv": write_records_csv, ".json": write_runs_json, ".jsonl": write_records_lines}
    found, skipped = read_named_runs(runs, store)
    outputs = output.Outputs(
        {"--output": target},
        overwrite=overwrite,
        inputs=[("RUN", run.path) for run in found],
        endings={"--output": tuple(writers)},
    )
    is_written = outputs.write({"--output": lambda: writers[Path(target).suffix](found)})
    for line in skipped:
        display.warn(line)
    for run in found:
        for line in run.warnings:
            display.warn(line)
        for label, reason in run.failures.items():  # failed models have no record
            display.warn(f"{run.path.stem}: {label}: {reason}")
    return output.exit_code(failed=bool(skipped) or not is_written)


def read_named_runs(names: list[str] | None, store: Path | None) -> "tuple[list[Run], list[str]]":
    """Return the named runs (without names: all readable runs), and the reasons for skipped runs.

    Raises:
        OptionError: a named run is missing or cannot be read, or the store is empty.
    """
    from saevit.report.run_messages import summarize_store
    from saevit.runs.store import default_folder, find_run, read_run, read_runs

    if names:
        paths = dict.fromkeys(find_run(name, store, on_skip=display.warn) for name in names)
        return [read_run(path) for path in paths], []
    skipped: list[str] = []
    found = list(read_runs(store, skipped.append))
    if not found and not skipped:
        raise OptionError(summarize_store([], str(store or default_folder())))
    return found, skipped
