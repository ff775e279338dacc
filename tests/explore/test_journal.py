"""Journals continue where a search was stopped, and are refused where they are of another search or code."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import saevit
from saevit.errors import OptionError
from saevit.explore import sweep
from saevit.explore.journal import hash_of_code
from saevit.explore.question import Question, Search
from saevit.explore.search import answer
from saevit.explore.space import read_space
from tests.explore.spaces import BASE, IMG_SIZE
from tests.explore.test_search import band_query


def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "FEWEST", 100)
    monkeypatch.setattr(sweep, "CHUNKS", 10**9)


def test_a_journal_takes_up_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    job = Search(question=band_query(), method="exhaustive")
    whole = answer(job, journal=tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) > 5
    (tmp_path / "b.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:17])  # killed while it wrote
    done: list[int] = []
    again = answer(job, journal=tmp_path / "b.jsonl", on_chunk=lambda count, total: done.append(count))
    assert done[0] == 3
    assert again == whole
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    assert answer(job, journal=tmp_path / "a.jsonl") == whole  # nothing left to do
    assert (tmp_path / "a.jsonl").read_bytes() == b"".join(lines)


def test_a_journal_of_another_search_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    answer(Search(question=band_query(), method="exhaustive"), journal=path)
    with pytest.raises(OptionError, match="of another search"):
        answer(Search(question=band_query(rising=True), method="exhaustive"), journal=path)
    path.write_text("my notes\n")
    with pytest.raises(OptionError, match="no file of an unfinished search"):
        answer(Search(question=band_query(), method="exhaustive"), journal=path)
    assert path.read_text() == "my notes\n"
    with pytest.raises(OptionError, match="cannot be written"):
        answer(Search(question=band_query(), method="exhaustive"), journal=tmp_path / "no" / "a")


OTHER_CODE = {
    "the network is redefined": ("NETWORK", saevit.NETWORK + 1),
    "saevit is newer": ("__version__", saevit.__version__ + ".1"),
}


@pytest.mark.parametrize("what", OTHER_CODE)
def test_a_journal_of_other_code_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, path = Search(question=band_query(), method="exhaustive"), tmp_path / "a.jsonl"
    answer(job, journal=path)
    before = path.read_bytes()
    monkeypatch.setattr(saevit, *OTHER_CODE[what])
    with pytest.raises(OptionError, match=r"written by other code .*name a new file"):
        answer(job, journal=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "name", ["count/cost.py", "count/ops.py", "explore/capacity.py", "explore/dynamic.py", "variant.py"]
)
def test_the_source_text_is_part_of_the_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "saevit"
    shutil.copytree(Path(saevit.__file__).parent, copy, ignore=lambda folder, names: {"__pycache__"})
    ours = hash_of_code()
    monkeypatch.setattr(saevit, "__file__", str(copy / "__init__.py"))
    assert hash_of_code() == ours
    (copy / name).write_text((copy / name).read_text() + "\n# edited\n")
    assert hash_of_code() != ours


def test_a_damaged_line_is_done_again_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    job, path, warnings = (
        Search(question=band_query(), method="exhaustive"),
        tmp_path / "a.jsonl",
        list[str](),
    )
    whole = answer(job, journal=path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"kept": ', b'"kept": 1')
    path.write_bytes(b"".join(lines))
    assert answer(job, journal=path, warn=warnings.append) == whole
    assert warnings == [f"{path} is damaged in line 4: these chunks are searched again"]
    assert path.read_bytes().splitlines(keepends=True)[:-1] == lines


@pytest.mark.parametrize("name", ["a.jsonl", "link.jsonl"])
def test_a_journal_has_one_owner(name: str, tmp_path: Path) -> None:
    path, job = tmp_path / "a.jsonl", Search(question=band_query(), method="exhaustive")
    (tmp_path / "link.jsonl").symlink_to(path)

    def interfere(done: int, total: int) -> None:
        with pytest.raises(OptionError, match=f"{name} is in use by process {os.getpid()}: wait"):
            answer(job, journal=tmp_path / name)

    whole = answer(job, journal=path, on_chunk=interfere)
    assert answer(job, journal=tmp_path / name) == whole
    assert {each.name for each in tmp_path.iterdir()} == {"a.jsonl", "link.jsonl"}  # no lock is left


def test_places_of_a_space_beyond_64_bits_are_kept(tmp_path: Path) -> None:
    texts = {f"ratios{i}": "1:10.9:0.1" for i in range(1, 5)} | {f"dims{i}": "8:64:8" for i in range(1, 5)}
    texts |= {f"depths{i}": "1:100" for i in range(1, 5)} | {"dims1": "64,56,48,40,32,24,16,8"}
    space = read_space(BASE, texts)
    query = Question(space=space, img_size=IMG_SIZE, objectives=("gmacs", "params"))
    job = Search(question=query, method="dp")
    whole = answer(job, journal=tmp_path / "a.jsonl")
    assert min(whole.front) > 2**64
    done: list[int] = []
    assert (
        answer(job, journal=tmp_path / "a.jsonl", on_chunk=lambda count, total: done.append(count)) == whole
    )
    assert done == [1]


KILLED = """
import sys
from pathlib import Path
from saevit.explore import sweep
sweep.FEWEST, sweep.CHUNKS = 2**12, 10**9
from saevit.explore.question import Question, Search, read_band
from saevit.explore.space import default_choices, make_space
from saevit.explore.search import answer
from saevit.variant import PRESETS
choices = dict(default_choices(PRESETS["saevit_tiny"]), ratios1=(3.0,), ratios2=(3.0,))
limits = (read_band("", "gmacs", "0.8+-1%"),)
question = Question(space=make_space(PRESETS["saevit_tiny"], choices), limits=limits)
search = Search(question=question, method="exhaustive")
print(answer(search, journal=Path(sys.argv[1]) if sys.argv[1:] else None))
"""


def test_kill_loses_at_most_a_chunk(tmp_path: Path) -> None:
    command, path = [sys.executable, "-c", KILLED], tmp_path / "a.jsonl"
    process = subprocess.Popen([*command, str(path)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_bytes().count(b"\n") > 5) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = path.read_bytes()
    resumed = subprocess.run([*command, str(path)], capture_output=True, check=True).stdout
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])  # finished chunks are not done again
    assert resumed == subprocess.run(command, capture_output=True, check=True).stdout
