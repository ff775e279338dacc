"""What a result offers in a notebook: its tables as HTML, and its rows as a pandas data frame."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


class NotebookResult:
    """The base of results that a notebook shows.

    This is the one place of the library that imports `saevit.report`, and only when it is called.
    """

    def _repr_html_(self) -> str:
        from saevit.report.notebook_view import write_result_html

        return write_result_html(self)

    def to_dataframe(self) -> "DataFrame":
        """Return the rows and columns of the result's CSV file.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        from saevit.report.notebook_view import make_dataframe

        return make_dataframe(self)
