"""Where the results of `saevit explore` go."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saevit.errors import OptionError, need
from saevit_cli import output

if TYPE_CHECKING:
    from saevit.explore.rows import Exploration


@dataclass(frozen=True, kw_only=True)
class View:
    """Where results go."""

    plot: Path | None
    csv: str | None
    json: str | None
    parquet: Path | None

    def check(self, *, overwrite: bool, is_timed: bool, inputs: dict[str, Path | None]) -> None:
        """Refuse, before any work, what cannot be written."""
        from saevit.report.figure import FORMATS

        if is_timed and output.STDOUT in (self.csv, self.json):
            raise OptionError("--measure-top prints tables: give --csv or --json a file instead of -")
        output.check_targets(
            (("--plot", self.plot), ("--csv", self.csv), ("--json", self.json), ("--parquet", self.parquet)),
            overwrite=overwrite,
            inputs=inputs.items(),
            endings={"--plot": FORMATS, "--parquet": (".parquet",)},
        )
        if self.parquet:
            need("pyarrow")

    def emit(self, found: "Exploration") -> bool:
        """Show a front and the best, unless data go to stdout, and write them. Was all of it written?"""
        from saevit.report.explore import machine
        from saevit.report.explore.figures import front_figure
        from saevit.report.explore.tables import explore_tables
        from saevit.report.figure import save_figure

        if output.STDOUT not in (self.csv, self.json):
            output.show(explore_tables(found))
        return output.write_all(
            ("--csv", self.csv, lambda: machine.explore_csv(found)),
            ("--json", self.json, lambda: machine.explore_json(found)),
            ("--parquet", self.parquet, lambda: partial(machine.write_parquet, found)),
            ("--plot", self.plot, lambda: partial(save_figure, front_figure(found))),
        )

    def emit_rows(self, rows: list[dict[str, Any]], table: Any, draw: Callable[[], Any] | None) -> bool:
        """Show one table, unless data go to stdout, and write it. Was all of it written?"""
        from saevit.report.explore.machine import rows_json
        from saevit.report.figure import save_figure
        from saevit.report.machine import csv_text

        if self.parquet:
            raise OptionError("--parquet is for fronts: take --csv here")
        if self.plot and draw is None:
            raise OptionError("--plot is for fronts and --sensitivity: there is nothing to draw here")
        if output.STDOUT not in (self.csv, self.json):
            output.show((table,))
        outputs: list[tuple[str, output.Target | None, output.Content]] = [
            ("--csv", self.csv, lambda: csv_text(rows)),
            ("--json", self.json, lambda: rows_json(rows)),
        ]
        if draw is not None:
            outputs.append(("--plot", self.plot, lambda: partial(save_figure, draw())))
        return output.write_all(*outputs)
