"""`saevit results`: the measured runs that are kept."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saevit.errors import OptionError
from saevit.text import printable
from saevit_cli import options, output

if TYPE_CHECKING:
    from saevit.runs.run import Run as StoredRun

results = typer.Typer(
    no_args_is_help=True, help="List, show, compare and export the measured runs that are kept."
)

RUN = "`latest`, the start of a name in `saevit results list`, or a file."
Run = Annotated[str, typer.Argument(metavar="RUN", help=f"A stored run: {RUN}")]
FirstRun = Annotated[str, typer.Argument(metavar="RUN_A", help=f"The run to start from: {RUN}")]
SecondRun = Annotated[str, typer.Argument(metavar="RUN_B", help=f"The run that is judged: {RUN}")]
Runs = Annotated[
    list[str] | None, typer.Argument(metavar="RUN", help=f"Stored runs; by default all. Each: {RUN}")
]
ListJson = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="The list; - is stdout.", rich_help_panel=options.OUTPUT),
]
ListCsv = Annotated[
    str | None,
    typer.Option("--csv", metavar="FILE|-", help="A row a run; - is stdout.", rich_help_panel=options.OUTPUT),
]
RecordsCsv = Annotated[
    str | None,
    typer.Option(
        "--csv",
        metavar="FILE|-",
        help="A row a record, timm's columns; - is stdout.",
        rich_help_panel=options.OUTPUT,
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="What ratios are to; by default the first of RUN_A that RUN_B has."),
]
Target = Annotated[
    str,
    typer.Option(
        "--output",
        metavar="FILE",
        help=".csv: a row a record, timm's columns; .json: whole runs; .jsonl: a record a line.",
        rich_help_panel=options.OUTPUT,
    ),
]
ENDINGS = (".csv", ".json", ".jsonl")


@results.command("list")
def list_runs(
    json: ListJson = None,
    csv: ListCsv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> None:
    """List the runs that are kept, the newest last."""
    from saevit.report.views import listing
    from saevit.runs.store import list_runs as read_list

    output.check_targets((("--json", json), ("--csv", csv)), overwrite=overwrite)
    found = read_list(store)
    if output.STDOUT not in (json, csv):
        if found:
            output.show((listing.tabulate_runs(found, str(folder_of(store))),))
        else:
            sys.stdout.write(f"{printable(nothing_in(store))}\n")
    is_written = output.write_all(
        ("--json", json, lambda: listing.write_list_json(found)),
        ("--csv", csv, lambda: listing.write_list_csv(found)),
    )
    raise typer.Exit(output.FAILED if not is_written or any(run.problem for run in found) else 0)


@results.command("show")
def show_run(
    run: Run,
    json: options.Json = None,
    csv: RecordsCsv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Show one run: latencies with their spread and ratios, what was counted, the machine."""
    from saevit.report.views import records
    from saevit.report.views.run import tabulate_run
    from saevit.runs.store import find_run, read_run

    path = find_run(run, store, on_skip=output.warn)
    output.check_targets((("--json", json), ("--csv", csv)), overwrite=overwrite, inputs=[("RUN", path)])
    found = read_run(path)
    if output.STDOUT not in (json, csv):
        output.show(tabulate_run(found))
    is_written = output.write_all(
        ("--json", json, lambda: records.write_run_json(found)),
        ("--csv", csv, lambda: records.write_records_csv([found])),
    )
    raise typer.Exit(0 if is_written else output.FAILED)


@results.command("diff")
def diff_runs(
    run_a: FirstRun, run_b: SecondRun, reference: Reference = None, store: options.Store = None
) -> None:
    """Compare two runs through a model that both measured, and say which differences are resolved."""
    from saevit.report.views.diff import tabulate_diff
    from saevit.runs.diff import diff_runs as compare_runs
    from saevit.runs.store import find_run, read_run

    first, second = read_run(find_run(run_a, store, on_skip=output.warn)), read_run(find_run(run_b, store))
    for line in dict.fromkeys((*first.warnings, *second.warnings)):
        output.warn(line)
    output.show(tabulate_diff(compare_runs(first, second, reference=reference), first, second))


@results.command("export")
def export_runs(
    target: Target,
    runs: Runs = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write the records of one, several or all runs to one file."""
    from saevit.report.views import records

    found, skipped = chosen(runs, store)
    output.check_targets(
        [("--output", target)],
        overwrite=overwrite,
        inputs=[("RUN", run.path) for run in found],
        endings={"--output": ENDINGS},
    )
    write = {
        ".csv": records.write_records_csv,
        ".json": records.write_runs_json,
        ".jsonl": records.write_records_lines,
    }[Path(target).suffix]
    is_written = output.write_all(("--output", target, lambda: write(found)))
    for line in [*skipped, *(told for run in found for told in missing(run))]:
        output.warn(line)
    raise typer.Exit(output.FAILED if skipped or not is_written else 0)


def chosen(texts: list[str] | None, store: Path | None) -> "tuple[list[StoredRun], list[str]]":
    """Return the runs that are named, each once; without names all that can be read, and what is skipped.

    Raises:
        OptionError: a run that is not there or cannot be read, or no runs at all.
    """
    from saevit.runs.store import find_run, read_run, read_runs

    if texts:
        named = dict.fromkeys(find_run(text, store, on_skip=output.warn) for text in texts)
        return [read_run(path) for path in named], []
    skipped: list[str] = []
    found = list(read_runs(store, skipped.append))
    if not found and not skipped:
        raise OptionError(nothing_in(store))
    return found, skipped


def missing(run: "StoredRun") -> list[str]:
    """Return what of a run is in no record."""
    return [*run.warnings, *(f"{run.path.stem}: {label}: {reason}" for label, reason in run.failures.items())]


def folder_of(store: Path | None) -> Path:
    """Return where runs are looked for."""
    from saevit.runs.store import default_folder

    return default_folder() if store is None else store


def nothing_in(store: Path | None) -> str:
    """Say how runs get into an empty store."""
    return (
        f"{folder_of(store)} has no runs yet: saevit profile and saevit compare keep what they measure there"
    )
