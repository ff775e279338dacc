"""A damaged journal gives the front of an undamaged one, or is refused in one line; never another front."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from saevit.errors import OptionError
from saevit.explore import sweep
from saevit.explore.question import Question, Search, read_limit
from saevit.explore.search import Answer, answer
from saevit.explore.space import read_space
from saevit.text import printable
from tests.explore.spaces import BASE, IMG_SIZE

SPACE = {"dims2": "16:40:8", "dims3": "24:64:8", "depths3": "1:6", "ratios4": "1:4:0.5"}
JOBS = [
    Search(
        question=Question(space=read_space(BASE, SPACE), img_size=IMG_SIZE, top=top, limits=limits),
        method=method,
    )
    for method, top, limits in (
        ("exhaustive", 3, (read_limit("--max-params", "params", "0.2"),)),
        ("exhaustive", 3, ()),  # another job: its lines are whole, and wrong here
    )
]
Kept = tuple[bytes, bytes]  # the journals of both jobs
Change = Callable[[random.Random, Kept], bytes]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "FEWEST", 100)
    monkeypatch.setattr(sweep, "CHUNKS", 10**9)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, Answer]:
    """The journals of both jobs, and the answer to the first."""
    folder = tmp_path_factory.mktemp("journals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "FEWEST", 100)
        patch.setattr(sweep, "CHUNKS", 10**9)
        answers = [answer(job, journal=folder / str(i)) for i, job in enumerate(JOBS)]
    return ((folder / "0").read_bytes(), (folder / "1").read_bytes()), answers[0]


def change_bytes(draw: random.Random, kept: Kept) -> bytes:
    text = bytearray(kept[0])
    for _ in range(draw.randrange(1, 4)):
        text[draw.randrange(len(text))] = draw.randrange(256)
    return bytes(text)


def change_digit(draw: random.Random, kept: Kept) -> bytes:
    text = bytearray(kept[0])
    place = draw.choice([i for i, c in enumerate(text) if c in b"0123456789"])
    text[place] = draw.choice(b"0123456789")
    return bytes(text)


def cut_out(draw: random.Random, kept: Kept) -> bytes:
    start = draw.randrange(len(kept[0]))
    return kept[0][:start] + kept[0][start + draw.randrange(1, 300) :]


def put_in(draw: random.Random, kept: Kept) -> bytes:
    start = draw.randrange(len(kept[0]) + 1)
    foreign = draw.choice([b"\n", b"\0" * 500, b"\r", b"{}\n", b"null\n", draw.randbytes(40), "é".encode()])
    return kept[0][:start] + foreign + kept[0][start:]


def cut_off(draw: random.Random, kept: Kept) -> bytes:
    return kept[0][: draw.randrange(len(kept[0]))]


def change_lines(draw: random.Random, kept: Kept) -> bytes:
    lines, others = (each.splitlines(keepends=True) for each in kept)
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    how = draw.randrange(7)
    if how == 0:
        lines[a], lines[b] = lines[b], lines[a]
    elif how == 1:
        lines.insert(a, lines[b])
    elif how == 2:
        del lines[a]
    elif how == 3:
        lines.reverse()
    elif how == 4:
        lines[a] = others[min(b, len(others) - 1)]
    elif how == 5:
        draw.shuffle(lines)
    else:
        lines += others
    return b"".join(lines)


def change_values(draw: random.Random, kept: Kept) -> bytes:
    """Change a value of a line in type or size; the line stays JSON, with the check that it had."""
    lines = kept[0].splitlines()
    i = draw.randrange(len(lines))
    data = json.loads(lines[i])
    key = draw.choice(sorted(data))
    others = [None, True, -1, 10**30, 1e308, "1", [], {}, [[0, [0.0, 0.0]]], [[0, 0]], data[key]]
    data[key] = draw.choice(others)
    if isinstance(data[key], list) and data[key] and draw.random() < 0.5:
        data[key] = data[key][:-1]
    lines[i] = json.dumps(data).encode()
    return b"\n".join(lines) + b"\n"


def change_head(draw: random.Random, kept: Kept) -> bytes:
    first, newline, rest = kept[0].partition(b"\n")
    head = json.loads(first)
    key = draw.choice(sorted(head))
    head[key] = draw.choice(
        [None, 1, "0.1.0", "\x1b[31m", "x" * 10**5, head[key][:-1] if key == "job" else 3]
    )
    return json.dumps(head).encode() + newline + rest


CHANGES: list[Change] = [
    *(change_bytes, change_digit, cut_out, put_in, cut_off),
    *(change_lines, change_lines, change_values, change_values, change_head),
]


def check_mutant(seed: int, path: Path, finished: tuple[Kept, Answer]) -> None:
    kept, whole = finished
    draw = random.Random(seed)
    mutant = CHANGES[seed % len(CHANGES)](draw, kept)
    path.write_bytes(mutant)
    warnings: list[str] = []
    try:
        assert answer(JOBS[0], journal=path, warn=warnings.append) == whole
        assert answer(JOBS[0], journal=path) == whole  # what it was mended to
        lines = set(kept[0].splitlines(keepends=True)[1:])
        strange = [line for line in mutant.splitlines(keepends=True)[1:] if line not in lines]
        assert bool(warnings) == any(line.endswith(b"\n") for line in strange)
    except OptionError as error:
        refusal = str(error)
        assert path.read_bytes() == mutant  # nothing is touched
        assert printable(refusal) == refusal
        assert len(refusal) < 1000


@pytest.mark.parametrize("seed", range(30))
def test_mutant_never_changes_the_front(seed: int, tmp_path: Path, finished: tuple[Kept, Answer]) -> None:
    check_mutant(seed, tmp_path / "mutant.jsonl", finished)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(10))
def test_200_mutants_never_change_the_front(
    shard: int, tmp_path: Path, finished: tuple[Kept, Answer]
) -> None:
    for seed in range(100 + 20 * shard, 120 + 20 * shard):
        check_mutant(seed, tmp_path / f"{seed}.jsonl", finished)
