"""Stored runs that were damaged or edited: no reader breaks, and no figure changes without a word."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from saevit.comparing.accuracies import accuracies_of, add_hints, choose_accuracies
from saevit.comparing.compare import comparison_of
from saevit.errors import OptionError, SaevitError
from saevit.report.columns import View
from saevit.report.html.page import report_html
from saevit.report.screen import write_text
from saevit.report.views import listing
from saevit.report.views.compare import tabulate_comparison, write_comparison_csv, write_comparison_json
from saevit.report.views.diff import view_diff
from saevit.report.views.listing import view_runs
from saevit.report.views.run import view_run
from saevit.runs.diff import diff_runs
from saevit.runs.evaluation import list_top1s
from saevit.runs.lines import head_fields, sealed
from saevit.runs.run import Run
from saevit.runs.store import Writer, find_run, list_runs, read_run, read_runs
from tests.conftest import GOLDEN

NAMES = ("stored_compare", "stored_eval", "stored_profile")
DEEP: Any = json.loads("[" * 60 + "]" * 60)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        7,
        2**31,
        2**62,
        2**63,
        10**400,
        0.5,
        -0.5,
        1e-320,
        1e-12,
        1e12,
        1e299,
        1e308,
    ),
    *(
        float("nan"),
        float("inf"),
        "",
        "x",
        "soon",
        "1",
        "cpu",
        "latency",
        "latency_again",
        "evaluation",
        "%",
        "s",
    ),
    *(
        "\x1b[2J",
        "\ud800",
        "a\nb",
        "\u202e",
        "9" * 5000,
        "0001-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59-23:59",
    ),
    *(
        "saevit_pico",
        "saevit_pico:width=1e9",
        "saevit_tiny:nonsense=1",
        "timm:resnet18",
        "timm:../x",
        "birder:zz",
    ),
    *(
        "edgevit_xs",
        "correct=9",
        "images=0",
        [],
        {},
        [1],
        [[]],
        {"x": 1},
        {"a": {"b": []}},
        DEEP,
        [1e308] * 3,
    ),
)


def original(name: str, folder: Path) -> tuple[Run, bytes, bytes]:
    """Return a golden run, its bytes as version 2 wrote them, and as this version does."""
    golden = read_run(GOLDEN / f"{name}.jsonl")
    with Writer(folder) as writer:
        writer.begin(golden)
        for number in range(golden.rounds):
            writer.add_round(number, {s.label: s.samples[number] for s in golden.subjects})
        writer.end()
    data = writer.path.read_bytes()
    writer.path.unlink()
    return golden, (GOLDEN / f"{name}.jsonl").read_bytes(), data


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Damage bytes or lines."""
    place, lines = rng.randrange(len(data)), data.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    ways: list[Callable[[], bytes]] = [
        lambda: data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :],
        lambda: data[:place] + data[place + rng.randrange(1, 40) :],
        lambda: data[:place],
        lambda: data[:place] + rng.randbytes(rng.randrange(1, 20)) + data[place:],
        lambda: data[:place] + rng.choice(b"0123456789").to_bytes() + data[place:],
        lambda: data[:place] + bytes(len(data) - place),  # zeros, as a disk that lost power leaves
        lambda: b"\n".join([*lines[:i], *lines[i + 1 :]]),
        lambda: b"\n".join([*lines[:i], lines[j], *lines[i:]]),
        lambda: b"\n".join([*lines[:i], lines[j], *lines[i + 1 :]]),
        lambda: b"\n".join(rng.sample(lines, len(lines))),
        lambda: data + data,
        lambda: data.replace(b"\n", b"\r\n"),
        lambda: b"\xef\xbb\xbf" + data,
    ]
    return rng.choice(ways)()


def holders(data: Any) -> Iterator[Any]:
    """Yield every object and list within plain data."""
    if isinstance(data, dict | list):
        if data:
            yield data
        for value in data.values() if isinstance(data, dict) else data:
            yield from holders(value)


def edited(data: bytes, rng: random.Random) -> list[Any]:
    """Change one value, name or key of one line, and return all lines as plain data."""
    lines = [json.loads(line) for line in data.splitlines()]
    line = rng.choice([lines[0], rng.choice(lines)])
    inside = rng.choice(list(holders(line)))
    key = rng.choice(list(inside)) if isinstance(inside, dict) else rng.randrange(len(inside))
    way = rng.randrange(6)
    if way == 0:
        del inside[key]
    elif way == 1 and isinstance(inside, dict):
        inside[rng.choice(["", "x", "kind", "folded", "fused", "a\x1b"])] = inside.pop(key)
    elif way == 2 and isinstance(inside[key], float | int):
        inside[key] *= rng.choice([-1, 0, 2, 1.5, 1e9, 1e-9])
    else:
        inside[key] = rng.choice(VALUES)
    return lines


def written(lines: list[Any], *, with_checks: bool) -> bytes:
    """Return lines as bytes; with checks that fit, as somebody could forge them, or as they are."""
    if not with_checks:
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    data, check = b"", 0
    for line in lines:
        plain = {k: v for k, v in line.items() if k != "check"} if isinstance(line, dict) else line
        try:
            one, check = sealed(plain, check)
        except ValueError:  # NaN, which the writer refuses
            one = json.dumps(line).encode() + b"\n"
        data += one
    return data


def mutant(plain: bytes, checked: bytes, rng: random.Random) -> tuple[bytes, bool]:
    """Return the bytes of a damaged run, and whether a reader can notice any change of a figure."""
    way = rng.randrange(6)
    if way < 2:
        return damaged(checked, rng), True
    if way == 2:
        return written(edited(checked, rng), with_checks=False), True
    if way == 3:  # the last of two equal keys is what JSON says
        lines = checked.split(b"\n")
        i = rng.randrange(len(lines) - 1)
        key = rng.choice([b"kind", b"samples", b"number", b"record", b"check", b"seed"])
        lines[i] = lines[i][:-1] + b', "%s": %s}' % (key, json.dumps(rng.choice(VALUES[:15])).encode())
        return b"\n".join(lines), True
    if way == 4:
        return written(edited(checked, rng), with_checks=True), False
    return rng.choice([damaged(plain, rng), written(edited(plain, rng), with_checks=False)]), False


def shown(view: View) -> str:
    """Return all text of a view, which has to be of a kind that a terminal takes."""
    cells = [view.result, *view.warnings, *view.notes]
    cells += [
        t
        for table in view.tables
        for t in (table.title, *table.notes, *(c for row in table.rows for c in row))
    ]
    for cell in cells:
        assert cell.isprintable(), cell
        assert not {"nan", "inf", "-inf"} & set(cell.replace("[", " ").replace(",", " ").split()), cell
    return "\n".join(cells)


def read_by_all(path: Path, others: list[Run]) -> Run | None:
    """Let every reader have the file; return the run if it is one. Only errors for users may come."""
    folder, skipped = path.parent, list[str]()
    summary = next(one for one in list_runs(folder) if one.path == path)
    shown(view_runs(list_runs(folder), "store"))
    listing.write_list_json([summary]), listing.write_list_csv([summary])
    everything = list(read_runs(folder, skipped.append))
    (
        listing.write_runs_json(everything),
        listing.write_records_csv(everything),
        listing.write_records_lines(everything),
    )
    assert all(line.isprintable() for line in skipped)
    list_top1s(folder)
    if summary.problem:
        with pytest.raises(OptionError) as caught:
            read_run(path)
        assert summary.problem == str(caught.value)
        assert summary.problem.startswith(str(path))
        assert summary.problem.isprintable()
        assert len(skipped) == 1
        assert find_run("latest", folder) == others[-1].path
        return None
    run = read_run(path)
    assert skipped == []
    assert find_run("latest", folder) == path
    shown(view_run(run))
    for other in (*others, run):
        shown(view_diff(diff_runs(run, other), run, other))
        shown(view_diff(diff_runs(other, run), other, run))
    try:
        measured = choose_accuracies("digits", list_top1s(folder))
        compared = [comparison_of(run, measured=measured), comparison_of(run, measured=accuracies_of(run))]
    except SaevitError:
        return run
    for comparison in (*compared, add_hints(comparison_of(run), list_top1s(folder))):
        view = View(tables=(tabulate_comparison(comparison, "latency"),))
        shown(view)
        write_comparison_json(comparison), write_comparison_csv(comparison)
        report_html(view, "saevit compare", run.environment, run=comparison.run)
    return run


def check(seeds: range, folder: Path) -> None:
    """Try the mutants of these seeds."""
    store = folder / "store"
    store.mkdir()
    originals = [original(name, store) for name in NAMES]
    for name, (_, _, checked) in zip(NAMES, originals, strict=True):
        (store / f"20260101T000000-{name}.jsonl").write_bytes(checked)
    others = list(read_runs(store, print))
    path = store / "30000101T000000-mutant.jsonl"
    accepted = 0
    for seed in seeds:
        rng = random.Random(seed)
        true, plain, checked = rng.choice(originals)
        data, is_noticed = mutant(plain, checked, rng)
        path.write_bytes(data)
        try:
            run = read_by_all(path, others)
        except SaevitError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        if run and is_noticed:
            accepted += 1
            assert head_fields(run) == head_fields(true), seed
            for one, whole in zip(run.subjects, true.subjects, strict=True):
                assert one.samples == whole.samples[: run.rounds], seed
            assert run.facts == true.facts[: len(run.facts)], seed
            complete = (true.rounds, len(true.facts), "finished")
            assert (run.rounds, len(run.facts), run.ending) == complete or run.ending == "lost", seed
    assert accepted < len(seeds) / 2


def test_mutants(tmp_path: Path) -> None:
    check(range(60), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_a_thousand_mutants(tmp_path: Path, part: int) -> None:
    check(range(1000 + 200 * part, 1200 + 200 * part), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_version_2_are_shown_as_they_were(
    name: str, golden: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(GOLDEN)
    run = read_run(Path(f"{name}.jsonl"))
    view = view_run(run)
    if not run.is_evaluation:
        view = replace(view, tables=(*view.tables, tabulate_comparison(comparison_of(run), None)))
    golden(f"{name}.txt", write_text(view, explain=True))
    assert replace(run, path=Path()).warnings == ()
