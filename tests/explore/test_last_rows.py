"""Rows of the last exploration as models."""

from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.explore.last_rows import keep_rows, read_row


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that does not exist yet."""
    monkeypatch.setenv("SAEVIT_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_rows_are_numbered_from_one() -> None:
    keep_rows(["saevit_tiny:width=1.25", "saevit_pico"])
    assert read_row("@1") == "saevit_tiny:width=1.25"
    assert read_row("@2") == "saevit_pico"
    keep_rows(["saevit_nano"])
    assert read_row("@1") == "saevit_nano"


@pytest.mark.parametrize("text", ["saevit_tiny", "digits@train", "@", "@x", "@01", "@1.png"])
def test_other_text_stays(text: str) -> None:
    assert read_row(text) == text


def test_rows_that_do_not_exist_are_refused() -> None:
    with pytest.raises(OptionError, match="@1 is a row of the last exploration, and there is none"):
        read_row("@1")
    keep_rows(["saevit_nano"])
    with pytest.raises(OptionError, match="@2: the last exploration has the rows @1 to @1"):
        read_row("@2")


def test_a_store_that_is_a_file_is_named(store: Path) -> None:
    store.write_text("")
    with pytest.raises(OptionError, match="store"):
        keep_rows(["saevit_nano"])
