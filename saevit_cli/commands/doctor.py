"""`saevit doctor`."""

from typing import Annotated

from saevit_cli import display, options, output

Measure = Annotated[
    bool,
    options.of_time(
        "--measure/--no-measure",
        show_default=False,
        help="Time a small network against itself (the default; five seconds on a quiet machine), or not.",
    ),
]


def doctor(
    measure: Measure = True,
    json: options.Json = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Show what works here: packages, machine, folders, and which differences in time are resolved.

    The exit code is 1 if a package that saevit needs is missing, or a folder cannot be written to.
    """
    outputs = output.Outputs({"--json": json}, overwrite=overwrite)
    from saevit.doctor import diagnose
    from saevit.report.views.doctor import view_diagnosis, write_diagnosis_json

    with display.show_progress() as on_progress:
        found = diagnose(store, is_timed=measure, on_progress=on_progress)
    outputs.show(view_diagnosis(found))
    is_written = outputs.write({"--json": lambda: write_diagnosis_json(found)})
    return output.exit_code(found.noise, failed=bool(found.problems) or not is_written)
