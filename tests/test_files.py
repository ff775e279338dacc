"""Files appear whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.files import expand, file_type, owned, read_bytes, replace_file


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


def test_a_link_is_followed_and_rights_stay(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    replace_file(link, lambda temporary: temporary.write_text("new"))
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_what_a_path_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "f").touch()
    assert file_type(tmp_path) == "folder"
    assert file_type(tmp_path / "f") == "file"
    assert file_type(tmp_path / "pipe") == file_type(Path("/dev/null")) == "other"
    assert file_type(tmp_path / "gone") == file_type(tmp_path / "f" / "x") == "missing"
    for bad in ("circle", "x" * 300, "a\0b"):
        with pytest.raises(OptionError, match="cannot be used"):
            file_type(tmp_path / bad)


def test_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "f").write_bytes(b"12345")
    assert read_bytes(tmp_path / "f", most=5) == b"12345"
    with pytest.raises(OptionError, match="at most 4 are read"):
        read_bytes(tmp_path / "f", most=4)
    with pytest.raises(OptionError, match="no regular file"):
        read_bytes(tmp_path / "pipe")
    with pytest.raises(OptionError, match="does not exist"):
        read_bytes(tmp_path / "gone")


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expand("~/x") == Path("/somewhere/x")
    assert expand("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
    assert expand("a~/x") == Path("a~/x")


HOLD = """
import sys, time
from pathlib import Path
from saevit.files import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("is_folder", [False, True])
def test_an_output_has_one_owner_and_a_dead_one_is_followed(tmp_path: Path, is_folder: bool) -> None:
    path = tmp_path if is_folder else tmp_path / "journal"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(OptionError, match=f"in use by process {holder.pid}"), owned(path):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
    with owned(path):
        pass
    assert not list(tmp_path.iterdir())
