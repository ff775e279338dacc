"""Where the results of `saevit explore` go."""

from collections.abc import Callable
from dataclasses import dataclass
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

    def check(self, *, overwrite: bool, is_timed: bool) -> None:
        """Refuse, before any work, what cannot be written."""
        from saevit.report.figure import FORMATS

        if is_timed and output.STDOUT in (self.csv, self.json):
            raise OptionError("--measure-top prints tables: give --csv or --json a file instead of -")
        output.check_one_stdout(json=self.json, csv=self.csv)
        output.check_target("--plot", self.plot, overwrite=overwrite, endings=FORMATS)
        output.check_target("--csv", self.csv, overwrite=overwrite)
        output.check_target("--json", self.json, overwrite=overwrite)
        output.check_target("--parquet", self.parquet, overwrite=overwrite, endings=(".parquet",))
        if self.parquet:
            need("pyarrow")

    def emit(self, found: "Exploration") -> None:
        """Write a front and the best; the tables go to stdout unless data does."""
        from saevit.report.explore import machine
        from saevit.report.explore.tables import explore_tables

        if self.csv:
            output.write_text(self.csv, machine.explore_csv(found))
        if self.json:
            output.write_text(self.json, machine.explore_json(found))
        if self.parquet:
            output.write_file(self.parquet, lambda path: machine.write_parquet(found, path))
        if output.STDOUT not in (self.csv, self.json):
            output.show(explore_tables(found))
        if self.plot:
            from saevit.report.explore.figures import front_figure

            self._draw(front_figure(found))

    def emit_rows(self, rows: list[dict[str, Any]], table: Any, draw: Callable[[], Any] | None) -> None:
        """Write one table, as data too where that is wanted."""
        from saevit.report.explore import machine

        if self.parquet:
            raise OptionError("--parquet is for fronts: take --csv here")
        if self.plot and draw is None:
            raise OptionError("--plot is for fronts and --sensitivity: there is nothing to draw here")
        if self.csv:
            output.write_text(self.csv, machine.csv_text(rows))
        if self.json:
            output.write_text(self.json, machine.rows_json(rows))
        if output.STDOUT not in (self.csv, self.json):
            output.show((table,))
        if self.plot and draw:
            self._draw(draw())

    def _draw(self, figure: Any) -> None:
        from saevit.report.figure import save

        assert self.plot is not None
        output.write_file(self.plot, lambda path: save(figure, path))
