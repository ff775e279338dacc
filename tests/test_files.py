"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.files import replace_file


def test_a_file_appears_with_the_usual_rights(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_file(path, lambda temporary: temporary.write_text("new"))
    usual = tmp_path / "usual"
    usual.touch()
    assert path.read_text() == "new"
    assert path.stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")]
)
def test_what_was_there_stays_when_writing_fails(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        raise error

    with pytest.raises(OptionError if isinstance(error, OSError) else type(error)):
        replace_file(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_reason_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "a.txt"
    with pytest.raises(OptionError, match=r"a\.txt cannot be written: No such file or directory"):
        replace_file(path, lambda temporary: temporary.write_text("new"))


def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(path, lambda temporary: temporary.write_text("new"))
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert path.is_fifo()
