"""What `saevit explore` does with one variant in place of a search: --solve and --sensitivity."""

from typing import TYPE_CHECKING

from saevit.errors import OptionError
from saevit_cli import output

if TYPE_CHECKING:
    from saevit.report.views.solve import RowsView
    from saevit.variant import VariantSpec


def refuse_choices(option: str, choices: dict[str, str]) -> None:
    """Refuse choices with an option that is for one variant."""
    if choices:
        key, text = next(iter(choices.items()))
        raise OptionError(f"{option} is for one variant, not for choices: write it as VARIANT:{key}={text}")


def solve_key(
    base: "VariantSpec",
    key: str | None,
    target: str | None,
    img_size: tuple[int, int],
    outputs: output.Outputs,
) -> int:
    """Find and show the largest value of a key that fits a budget."""
    from saevit.explore.question import read_positive_fraction
    from saevit.explore.solve import solve
    from saevit.report.views.solve import view_solution

    if not key or not target:
        raise OptionError("--solve and --target-gmacs go together: --solve width --target-gmacs 0.8")
    if "--plot" in outputs.targets:
        raise OptionError("--plot is for fronts and --sensitivity: there is nothing to draw here")
    macs = int(read_positive_fraction("--target-gmacs", target) * 10**9)
    return write_view(view_solution(solve(base, key, macs, img_size)), outputs)


def show_sensitivity(base: "VariantSpec", img_size: tuple[int, int], outputs: output.Outputs) -> int:
    """Show the cost of a step of each key."""
    from saevit.explore.solve import find_sensitivity
    from saevit.report.explore_figures import tornado_figure
    from saevit.report.views.solve import view_sensitivity

    found = find_sensitivity(base, img_size)
    return write_view(view_sensitivity(found), outputs, {"--plot": lambda: tornado_figure(found)})


def write_view(
    view: "RowsView", outputs: output.Outputs, pictures: dict[str, output.Content] | None = None
) -> int:
    """Show a view and write its rows, and return the exit code."""
    from saevit.report.columns import row_values, write_csv, write_json

    shown, columns, rows = view
    if "--parquet" in outputs.targets:
        raise OptionError("--parquet is for fronts: take --csv here")
    outputs.show(shown)
    is_written = outputs.write(
        {
            "--csv": lambda: write_csv(columns, rows),
            "--json": lambda: write_json({"rows": [row_values(columns, row) for row in rows]}),
            **(pictures or {}),
        }
    )
    return output.exit_code(failed=not is_written)
