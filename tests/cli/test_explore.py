"""`saevit explore` as users type it."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from saevit.count.cost import count_network
from saevit.errors import OptionError
from saevit.variant import PRESETS, parse
from saevit_cli.commands.explore_options import choose_objectives, read_space_file
from tests.cli.conftest import Run

TINY = PRESETS["saevit_tiny"]
FEW = ("--dims1", "24:64:8", "--depths3", "2:6", "--ratios=2,3")
SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_nothing_but_the_command_searches_around_the_default_variant(saevit: Run) -> None:
    done = saevit("explore", "--explain", check=True)
    size, took = done.stderr.splitlines()
    assert "every variant is evaluated" in size
    assert took.startswith(f"evaluated {size.split()[0]} in ")
    result, *rest = done.stdout.splitlines()
    assert "warning: " not in done.stdout
    start = (
        r"\d+ variants are on the front of parameters and most GMACs\. The MACs of saevit_tiny are reached "
    )
    assert re.match(start, result)
    assert parse(result.split()[-1])
    table = rest[rest.index(next(line for line in rest if "on the front" in line)) :]
    assert table[1].split()[:4] == ["variant", "row", "params", "GMACs"]
    first = table[3].split()  # the smallest variant of the space: nothing hides it
    cost = count_network(parse(first[0]), (224, 224))
    assert float(first[4]) == pytest.approx(cost.macs / 1e9, abs=1e-4)
    assert cost.macs < 0.5 * count_network(TINY, (224, 224)).macs
    assert "The base variant saevit_tiny has " in done.stdout


def test_other_commands_take_the_numbers_of_rows(saevit: Run) -> None:
    shown = saevit("explore", *FEW, check=True).stdout
    first, second = (re.search(rf"^(\S+) +@{number} ", shown, re.MULTILINE)[1] for number in (1, 2))
    compared = saevit(
        "compare", "@2", "--reference=@1", "@1", "--no-measure", "--img-size", "64", "--csv", "-", check=True
    )
    assert [row["model"] for row in rows(compared.stdout)] == [second, first]
    missing = saevit("profile", "@999", "--no-measure")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: @999: the last exploration has the rows @1 to @")


def test_every_row_is_a_variant_that_profile_takes(saevit: Run) -> None:
    done = saevit("explore", *FEW, "--csv", "-", check=True)
    found = rows(done.stdout)
    assert found
    assert done.stdout.count("\n") == len(found) + 1
    for row in found:
        cost = count_network(parse(row["model"]), (224, 224))
        assert (int(row["macs"]), int(row["params"])) == (cost.macs, cost.params)
        assert int(row["activations"]) == cost.activations
    profile = saevit(
        "profile", found[0]["model"], "--no-measure", "--counters", "analytic", "--json", "-", check=True
    )
    assert json.loads(profile.stdout)["macs"] == int(found[0]["macs"])


def test_limits_are_kept_and_said(saevit: Run) -> None:
    macs = count_network(TINY, (224, 224)).macs / 1e9
    band = f"{macs:.3f}±5%"
    limits = (
        "--gmacs-band",
        band,
        "--max-params",
        "6.5",
        "--max-activations",
        "12M",
        "--max-memory",
        "20",
        "--monotone",
    )
    done = saevit("explore", *FEW, *limits, "--json", "-", check=True)
    data = json.loads(done.stdout)
    assert data["objectives"] == ["params", "activations"]
    assert f"--gmacs-band {band}" in data["limits"]
    assert data["monotone"]
    assert data["variants"]
    for row in data["variants"]:
        assert abs(row["infer_gmacs"] / float(f"{macs:.3f}") - 1) <= 0.05
        assert row["params"] <= 6.5e6
        assert row["activations"] <= 12e6
        assert row["peak_bytes"] <= 20e6
        dims = [stage.dim for stage in parse(row["model"]).stages]
        assert dims == sorted(dims)


def test_an_empty_result_names_the_limit_and_the_nearest(saevit: Run) -> None:
    done = saevit("explore", *FEW, "--max-gmacs", "0.1", "--max-params", "100")
    assert done.returncode == 2
    assert done.stdout == ""
    error = done.stderr.splitlines()[-1]
    assert error.startswith(
        "error: no variant of 60 keeps all limits: --max-gmacs 0.1 excludes most, 100 %; nearest is "
    )
    nearest = error.partition("nearest is ")[2].partition(", which misses --max-gmacs 0.1 by ")
    macs = count_network(parse(nearest[0]), (224, 224)).macs / 1e9
    assert float(nearest[2].split()[0]) == pytest.approx(100 * (macs / 0.1 - 1), rel=0.01)


def test_a_file_and_the_command_line_make_one_space(saevit: Run, tmp_path: Path) -> None:
    choices = "dims1 = '24:64:8'\ndepths3 = [2, 3, 4, 5, 6]\nratios = 4\n"
    (tmp_path / "space.toml").write_text(f"{choices}[limits]\nmax_gmacs = 5\n")
    told = saevit("explore", *FEW, "--max-gmacs", "5", "--csv", "-", check=True)
    read = saevit("explore", "--space", "space.toml", "--ratios", "2,3", "--csv", "-", check=True)
    assert read.stdout == told.stdout


@pytest.mark.parametrize("text", ["width = '0.5:1.5:0.05'", ""], ids=["file", "option"])
def test_no_default_hides_what_was_asked_for(saevit: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "space.toml").write_text(text)
    asked = ("--space", "space.toml") if text else ("--width", "0.5:1.5:0.05")
    done = saevit("explore", "saevit_tiny", *asked, check=True)
    data = json.loads(saevit("explore", "saevit_tiny", *asked, "--json", "-", check=True).stdout)
    assert "21 variants on the front, " in done.stdout
    assert [parse(row["model"]).width for row in data["variants"]] == pytest.approx(
        [0.5 + 0.05 * i for i in range(21)]
    )
    assert "hides" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("limits", "is_predicted", "expected"),
    [
        ((), False, ("params", "most-gmacs")),
        ((), True, ("latency", "most-gmacs")),
        (("--max-latency", "--max-params"), True, ("latency", "most-gmacs")),
        (("--max-gmacs",), False, ("gmacs", "most-params")),
        (("--max-gmacs",), True, ("latency", "most-params")),
        (("--gmacs-band",), False, ("params", "activations")),
        (("--gmacs-band", "--max-gmacs"), True, ("params", "latency")),
    ],
)
def test_default_objectives_are_a_cost_and_a_size(
    limits: tuple[str, ...], is_predicted: bool, expected: tuple[str, str]
) -> None:
    assert choose_objectives(limits, is_predicted=is_predicted) == expected


def test_rank_means_the_same_by_every_method(saevit: Run) -> None:
    found = {
        method: rows(saevit("explore", *FEW, "--method", method, "--csv", "-", check=True).stdout)
        for method in ("exhaustive", "dp")
    }
    every = saevit("explore", *FEW, "--top", "60", "--method", "exhaustive", "--csv", "-", check=True)
    ranks = {row["model"]: row["rank"] for row in rows(every.stdout)}
    best = sorted(rows(every.stdout), key=lambda row: -float(row["macs"]))
    assert [float(row["macs"]) for row in best] == [
        float(row["macs"]) for row in sorted(rows(every.stdout), key=lambda row: int(row["rank"]))
    ]
    for method, some in found.items():
        assert all(row["rank"] in ("", ranks[row["model"]]) for row in some), method
    assert sum(row["rank"] != "" for row in found["exhaustive"]) == 5


def test_four_ways_to_say_the_rates(saevit: Run) -> None:
    ways = (
        ("--sparsity", "8,4,2,1;4,2,2,1"),
        ("--set", "rates=8-4-2-1,4-2-2-1"),
        ("--rates", "8-4-2-1,4-2-2-1"),
        ("--set", "rates=8,4,2,1;4,2,2,1"),
    )
    outputs = {saevit("explore", *way, "--json", "-", check=True).stdout for way in ways}
    assert len(outputs) == 1


def test_methods_find_the_same_front(saevit: Run) -> None:
    every = saevit("explore", *FEW, "--method", "exhaustive", "--csv", "-", check=True)
    programmed = saevit("explore", *FEW, "--method", "dp", "--csv", "-", check=True)
    drawn = saevit("explore", *FEW, "--method", "sample", "--samples", "5000", "--csv", "-", check=True)
    fronts = [
        {row["model"] for row in rows(done.stdout) if row["on_front"] == "True"}
        for done in (every, programmed, drawn)
    ]
    assert fronts[0] == fronts[1] == fronts[2]


def test_a_space_that_nobody_can_walk_through(saevit: Run) -> None:
    dims = ("--dims1", "16:112:16", "--dims2", "32:224:16", "--dims3", "64:448:16", "--dims4", "96:640:16")
    deep = [word for i in range(1, 5) for word in (f"--depths{i}", "1:10", f"--ratios{i}", "2:4")]
    done = saevit("explore", *dims, *deep, "--max-gmacs", "0.6", "--csv", "-", check=True)
    assert "10,029,549,600,000 combinations" in done.stderr or "by dynamic programming" in done.stderr
    assert all(float(row["infer_gmacs"]) <= 0.6 for row in rows(done.stdout))


def test_figures_and_files(saevit: Run, tmp_path: Path) -> None:
    saevit("explore", *FEW, "--plot", "a.png", "--csv", "a.csv", "--json", "a.json", check=True)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert len(rows((tmp_path / "a.csv").read_text())) == len(
        json.loads((tmp_path / "a.json").read_text())["variants"]
    )
    assert saevit("explore", *FEW, "--csv", "a.csv").returncode == 2
    done = saevit("explore", "--sensitivity", "--plot", "t.svg", check=True)
    assert done.stdout.startswith("The step with the largest effect on MACs is ")
    assert "<svg" in (tmp_path / "t.svg").read_text()


def test_parquet(saevit: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    saevit("explore", *FEW, "--parquet", "a.parquet", "--csv", "a.csv", check=True)
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["model"] for row in table] == [row["model"] for row in rows((tmp_path / "a.csv").read_text())]


def test_parquet_without_pyarrow_is_one_line(tmp_path: Path) -> None:
    code = "import sys\nsys.modules['pyarrow'] = None\n"
    code += "from saevit_cli.app import run_command\nsys.exit(run_command(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "explore", *FEW, "--parquet", "a.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: pyarrow is not installed: pip install pyarrow\n"


def test_solve(saevit: Run) -> None:
    done = saevit("explore", "--solve", "width", "--target-gmacs", "0.5", "--json", "-", check=True)
    fits, too_much, given = json.loads(done.stdout)["rows"]
    assert fits["infer_gmacs"] <= 0.5 < too_much["infer_gmacs"]
    assert given["model"] == "saevit_tiny"
    assert parse(fits["model"]).width < parse(too_much["model"]).width
    done = saevit("explore", "--solve", "depths3", "--target-gmacs", "2", check=True)
    assert done.stdout.startswith("The largest depths3 within 2 GMACs is ")


def test_a_resumed_search_says_the_same(saevit: Run, tmp_path: Path) -> None:
    first = saevit("explore", *FEW, "--resume", "kept.jsonl", "--json", "-", check=True)
    again = saevit("explore", *FEW, "--resume", "kept.jsonl", "--json", "-", check=True)
    assert again.stdout == first.stdout == saevit("explore", *FEW, "--json", "-", check=True).stdout
    other = saevit("explore", *FEW, "--max-gmacs", "1", "--resume", "kept.jsonl")
    assert other.returncode == 2
    assert "kept.jsonl is of another search" in other.stderr


LONG = [  # minutes of work
    *("explore", "--method", "exhaustive", "--jobs", "2"),
    *(
        word
        for i in (1, 2, 3, 4)
        for word in (f"--depths{i}", "1:6", f"--ratios{i}", "1:4", f"--dims{i}", "64:160:16")
    ),
]


def start_long(folder: Path, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "saevit_cli", *LONG, *more],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], object]) -> None:
    """Wait; the end of the test run is the only limit."""
    while not condition():
        time.sleep(0.02)


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_killed_worker_is_one_line_and_keeps_the_journal(saevit: Run, tmp_path: Path) -> None:
    process, journal = start_long(tmp_path, "--resume", "a.jsonl"), tmp_path / "a.jsonl"
    wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
    workers_of(process)[0].kill()
    out, error = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    (line,) = error.splitlines()[1:]
    assert line.startswith("error: a worker process was killed, as happens when memory is short: take fewer")
    wait_for(lambda: not is_alive(process.pid))
    kept = journal.read_bytes()
    assert kept.endswith(b"\n")
    assert kept.count(b"\n") > 2
    refused = saevit("explore", *FEW, "--resume", "a.jsonl")
    assert "a.jsonl is of another search" in refused.stderr
    assert journal.read_bytes() == kept


def test_a_second_search_does_not_touch_the_journal_of_the_first(saevit: Run, tmp_path: Path) -> None:
    first, journal = start_long(tmp_path, "--resume", "a.jsonl"), tmp_path / "a.jsonl"
    wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
    second = saevit(*LONG, "--resume", "a.jsonl")
    assert second.returncode == 2
    assert (
        second.stderr.splitlines()[-1]
        == f"error: a.jsonl is in use by process {first.pid}: wait until it ends"
    )
    first.terminate()
    assert first.communicate(timeout=300)[1].splitlines()[1:] == ["error: interrupted"]
    assert first.returncode == 130
    heads = [line for line in journal.read_bytes().splitlines() if b"saevit_explore" in line]
    numbers = [json.loads(line)["number"] for line in journal.read_bytes().splitlines()[1:]]
    assert len(heads) == 1
    assert len(set(numbers)) == len(numbers) >= 2


def test_a_full_disk_keeps_the_journal_readable(saevit: Run, tmp_path: Path) -> None:
    choices = ["--dims1", "24:64:8", "--depths3", "2:6", "--ratios", "1,1.5,2,2.5,3", "--resume", "a.jsonl"]
    code = "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    code += "from saevit_cli.app import run_command\nsys.exit(run_command(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "explore", *choices]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()[1:]
    assert line.startswith("error: a.jsonl cannot be written: File too large: finished chunks are kept")
    assert (tmp_path / "a.jsonl").read_bytes().endswith(b"\n")
    again = saevit("explore", *choices, "--json", "-", check=True)
    assert "damaged" not in again.stderr
    assert again.stdout == saevit("explore", *choices[:-2], "--json", "-", check=True).stdout


def is_alive(group: int) -> bool:
    """Is any process of a group left?"""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("moment", ["at once", "workers start", "workers work"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_an_end_leaves_no_process(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    process, journal = start_long(tmp_path, "--resume", "a.jsonl"), tmp_path / "a.jsonl"
    if moment == "at once":
        wait_for(journal.exists)
    elif moment == "workers start":
        wait_for(lambda: workers_of(process))
    else:
        wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
    if number == signal.SIGKILL:
        process.kill()  # alone: the workers have to see it
    else:
        os.killpg(process.pid, number)  # as a terminal does
    out, error = process.communicate(timeout=300)  # also waits until no worker holds the pipes
    assert out == ""
    # Python's own error in a worker whose parent was killed between starting it and sending its work
    is_orphan = number == signal.SIGKILL and "EOFError: Ran out of input" in error
    assert is_orphan or "Traceback" not in error
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert error.splitlines()[1:] == ["error: interrupted"]
    wait_for(lambda: not is_alive(process.pid))


@pytest.mark.slow
def test_the_best_are_measured_beside_a_reference(saevit: Run) -> None:
    quick = ("--rounds", "6", "--min-time", "0.002", "--threads", "1", "--img-size", "64")
    done = saevit(
        "explore",
        SMALL,
        "--depths3",
        "1:4",
        "--dims4",
        "16,24",
        "--measure-top",
        "3",
        *quick,
        check=True,
    )
    assert "Rank by measured time and by each cost (1 = least)\n" in done.stdout
    assert "time relative to the reference" in done.stdout


BAD = [
    (["--dim1", "8"], "No such option: --dim1"),
    (["--dims1"], "--dims1 needs choices, for example --dims1 24:64:8"),
    (["--dims1", "8", "--set", "dims1=16"], "'dims1' is given twice (8 and 16)"),
    (["--set", "dims1"], "'dims1' is not KEY=CHOICES"),
    (["--set", "dim1=8"], "'dim1' is not a key: did you mean dims1"),
    (["--width", "2:1"], "width=2:1: a range goes up"),
    (["--max-gmacs", "0"], "--max-gmacs 0: a number above 0"),
    (["--gmacs-band", "0.8"], "--gmacs-band 0.8: write a value and a distance from it, such as 0.8±1%"),
    (["--objectives", "params,most-params"], "objectives params and most-params are opposites"),
    (["--objectives", "top1"], "objective 'top1' is not known"),
    (["--rank-by", "speed"], "objective 'speed' is not known"),
    (["--rank-by", "latency"], "no calibration for 224x224, batch 1, fp32, cpu, eager"),
    (["--method", "magic"], "method 'magic' is not known: choose from auto, exhaustive, dp, sample"),
    (["--engine", "dask"], "engine 'dask' is not known: choose from local, ray"),
    (["--measure-top", "3", "--json", "-"], "--measure-top prints tables: give --csv or --json a file"),
    (["--seed", "-1"], "--seed -1: a whole number from 0 to"),
    (["--top", "0"], "--top 0: a whole number from 1 to 10,000"),
    (["--jobs", "0"], "--jobs 0: a whole number from 1 to 256"),
    (["--solve", "width"], "--solve and --target-gmacs go together"),
    (["--target-gmacs", "1"], "--solve and --target-gmacs go together"),
    (["--solve", "rates1", "--target-gmacs", "1"], "--solve rates1 is not possible"),
    (
        ["--sensitivity", "--dims1", "8"],
        "--sensitivity is for one variant, not for choices: write it as VARIANT:dims1=8",
    ),
    (["--space", "none.toml"], "none.toml does not exist: name a regular file"),
    (["--img-size", "8"], "8 px is out of range, nearest is 32"),
    (["--plot", "a.gif"], "--plot a.gif has no known ending"),
    (["--resume", "nowhere/a"], "nowhere/a cannot be written"),
    (["timm:resnet18"], "is not a preset"),
    (["--width", "0:1e5000:1"], "width=0:1e5000:1 is not a range of numbers up to 1e300"),
    (["--width", "1:2:1e-18"], "width=1:2:1e-18 is 1e+18 choices: at most 100,000"),
    (["--depths1", ",".join(["1:4000"] * 1000)], "depths1 has more than 100,000 choices"),
    (["--depths1", "9" * 5000], "is not a number: one stage has one value"),
    (["--width", "1e-320"], "width=1e-320 is not a number"),
    (["--max-gmacs", "1e-320"], "--max-gmacs 1e-320: a number above 0"),
    (["--max-gmacs", "1e999999999"], "--max-gmacs 1e999999999: a number above 0"),
    (["--max-params", "9" * 5000], "...: a number above 0, from 1e-09 to 1e+12"),
    (["--max-params", "1e-9", "--width", "1"], "--max-params 1e-9 excludes most, 100 %"),
    (["--max-effectiveness", "1e-320"], "--max-effectiveness 1e-320: a number above 0"),
    (["--max-effectiveness", "1e-9", "--width", "1"], "--max-effectiveness 1e-9 excludes most"),
    (["--gmacs-band", "0.0000000001±1%"], "--gmacs-band 0.0000000001: a number above 0"),
    (["--gmacs-band", "0.00000000149±1%"], "no whole number is in this band"),
    (["--solve", "width", "--target-gmacs", "1e400"], "--target-gmacs 1e400: a number above 0"),
    (
        ["--method", "sample", "--samples", "1" + "0" * 30],
        "a whole number from 1 to 1,000,000,000",
    ),
    (["--jobs", "1000000000"], "--jobs 1000000000: a whole number from 1 to 256"),
    (["--seed", "9" * 5000], "a whole number from 0 to"),
    (["--top", "1000000"], "--top 1000000: a whole number from 1 to 10,000"),
    (["--measure-top", "9" * 30], "a whole number from 1 to 1,000"),
    (
        ["--width", "0.001:2:0.001", "--depth", "0.001:2:0.001", "--method", "dp"],
        "one dynamic programme each",
    ),
    (["--resume", "."], ". cannot be written: it is no regular file"),
    (["--resume", "/dev/full"], "/dev/full cannot be written: it is no regular file"),
    (["--space", "/dev/zero"], "/dev/zero is no regular file"),
    (["--space", "n" * 300], "File name too long"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_one_line_and_exit_code_2(saevit: Run, arguments: list[str], message: str) -> None:
    done = saevit("explore", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1


SPACES = {
    "dims1 = true": "dims1 = True: give text such as",
    "width = inf": "width: inf is not a finite number",
    "width = [0.5, nan]": "width.1: nan is not a finite number",
    "dims1 = 2020-01-01": "dims1 = datetime.date(2020, 1, 1): give text",
    "dims1 = " + "[" * 30 + "1" + "]" * 30: "nested deeper than 20 levels",
    "dims1 = " + "[" * 5000 + "]" * 5000: "is not TOML: maximum recursion depth",
    "dims1 = 1" + "0" * 5000: "is not TOML: Exceeds the limit",
    "dims1 = 99999999999999999999": "dims1: a whole number beyond 64 bits",
    "[dims1]\na = 1": "dims1 = {'a': 1}: give text",
    "rates = [[8, 4, true, 1]]": "rates = [[8, 4, True, 1]]: give text",
    "dims1 = []": "dims1 = []: give text",
    'dims1 = "8\\u001b[31m"': "dims1: 8\\x1b[31m has control characters",
    '"di\\u001bms" = 1': "has control characters",
    "dims9 = 1": "'dims9' is not a key: did you mean",
    "width = '0:1e5000:1'": "width=0:1e5000:1 is not a range",
    "limits = 3": "limits is a table",
    "[limits]\nmax_gmacs = [1]": "limits.max_gmacs is a list: give one number",
    "[limits]\nmax_gmacs = true": "limits.max_gmacs = True: give text",
    "[limits]\nmax_gmacs = nan": "limits.max_gmacs: nan is not a finite number",
    "[limits]\nmax_gmacs = '1e5000'": "--max-gmacs 1e5000: a number above 0",
}


@pytest.mark.parametrize("text", SPACES, ids=range(len(SPACES)))
def test_a_space_of_wrong_types_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        read_space_file(path)
    assert str(caught.value).startswith(f"--space {path}")
    assert SPACES[text] in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["pipe", "large", "binary"])
def test_a_space_that_is_no_text_file_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.toml"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(bytes(range(256)))
    if kind == "large":
        os.truncate(path, 2**40)
    with pytest.raises(OptionError, match=r"a\.toml (is no regular file|has .* bytes: at most|is not TOML)"):
        read_space_file(path)


def test_a_file_that_is_no_toml(saevit: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("dims1 = ")
    assert "--space a.toml is not TOML" in saevit("explore", "--space", "a.toml").stderr
    (tmp_path / "b.toml").write_text("[limits]\nmax_macs = 1\n")
    assert (
        "limit 'max_macs' is not known: did you mean max_gmacs"
        in saevit("explore", "--space", "b.toml").stderr
    )
