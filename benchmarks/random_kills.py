"""Kill compare, explore, train and export at random moments, and check the files that they leave.

    python benchmarks/random_kills.py [--kills 500] [--seed 0] [--only train]

Each kill is a signal (SIGKILL, SIGTERM or SIGINT) at a uniformly drawn moment of a command's life. A
search or a training is continued after each kill until it ends, and must then equal an uninterrupted one.
Prints one line per problem and a table in Markdown; exits with 1 if there is a problem.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from saevit.errors import SaevitError
from saevit.runs.store import list_runs
from saevit.train.run_folder import load_state

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TINY = "saevit_pico:depths=1,dims=8-8-16-16,heads=1"
HANG = 300  # seconds after which a signalled process counts as hanging
SPACE = [
    word
    for stage in (1, 2, 3, 4)
    for word in (f"--dims{stage}", "32:96:16", f"--ratios{stage}", "2:4", f"--depths{stage}", "1:4")
]


@dataclass(frozen=True)
class Command:
    """Describe one command: its arguments, its progress on the disk, its result."""

    arguments: Callable[[Path], list[str]]
    amount: Callable[[Path], int]  # rounds, chunks or steps on the disk; raises where they cannot be read
    result: Callable[[Path], object] | None  # of a command that ended; None: nothing to compare


def stored_rounds(folder: Path) -> int:
    """Count the stored rounds; every file must be readable."""
    found = list_runs(folder / "store")
    problems = [run.problem for run in found if run.problem]
    if problems:
        raise ValueError(problems[0])
    return sum(run.rounds for run in found)


def finished_chunks(folder: Path) -> int:
    """Count the finished chunks."""
    journal = folder / "journal"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def finished_updates(folder: Path) -> int:
    """Count the updates that a training can continue from."""
    last = folder / "run" / "last.pt"
    if not last.exists():
        return 0
    state = load_state(last)
    return 1000 * len(state.rows) + state.part.updates


def readable_exports(folder: Path) -> int:
    """Run the exported files on an image; return how many there are."""
    import onnxruntime
    import openvino

    x = np.zeros((1, 3, 32, 32), np.float32)
    found = 0
    for path in sorted(folder.glob("[!.]*.onnx")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: x})
        assert np.isfinite(outputs[0]).all()
        found += 1
    for path in sorted(folder.glob("[!.]*.xml")):
        assert np.isfinite(openvino.Core().compile_model(path, "CPU")(x)[0]).all()
        found += 1
    return found


def train_arguments(folder: Path) -> list[str]:
    """Start a training, or continue it."""
    run = folder / "run"
    if run.exists() and any(run.iterdir()):
        return ["train", "--resume", str(run), "--workers", "0"]
    quick = ["--epochs", "6", "--batch-size", "8", "--img-size", "32", "--workers", "0"]
    return ["train", TINY, "--data", str(folder / "data"), *quick, "--output", str(run)]


def trained(folder: Path) -> object:
    """Return what may not depend on interruptions: the log without its times, and the weights."""
    lines = (folder / "run" / "log.csv").read_text().splitlines()
    names = lines[0].split(",")
    keep = [i for i, name in enumerate(names) if name not in ("seconds", "images_per_s")]
    rows = [[line.split(",")[i] for i in keep] for line in lines]
    weights = load_file(folder / "run" / "best.safetensors")
    return rows, {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


COMMANDS = {
    "compare": Command(
        arguments=lambda folder: [
            *("compare", TINY, f"{TINY},ffn=mlp", "--img-size", "32", "--rounds", "150"),
            *("--min-time", "0.005", "--store", str(folder / "store")),
        ],
        amount=stored_rounds,
        result=None,
    ),
    "explore": Command(
        arguments=lambda folder: [
            *("explore", "saevit_pico", *SPACE, "--method", "exhaustive", "--jobs", "2"),
            *("--resume", str(folder / "journal"), "--json", str(folder / "front.json"), "--overwrite"),
        ],
        amount=finished_chunks,
        result=lambda folder: json.loads((folder / "front.json").read_text()),
    ),
    "train": Command(arguments=train_arguments, amount=finished_updates, result=trained),
    "export": Command(
        arguments=lambda folder: [
            *("export", TINY, "--format", "onnx,openvino", "--img-size", "32"),
            *("--output", str(folder), "--overwrite"),
        ],
        amount=readable_exports,
        result=None,
    ),
}


def prepare(folder: Path) -> None:
    """Make a folder with a small data set."""
    folder.mkdir()
    pixels = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(24):
            image = Image.fromarray(pixels.integers(0, 256, (40, 40, 3), dtype=np.uint8))
            image.save(folder / "data" / name / f"{i}.png")


def start(command: Command, folder: Path) -> "subprocess.Popen[str]":
    """Start a command in a new process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "saevit_cli", *command.arguments(folder)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def end(process: "subprocess.Popen[str]") -> None:
    """Kill what is left of a group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.communicate()


def group_is_left(process: "subprocess.Popen[str]") -> bool:
    """Wait for the group of an ended process to disappear; tell whether it stays."""
    limit = time.monotonic() + HANG
    while time.monotonic() < limit:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def run_whole(name: str, folder: Path) -> tuple[float, object]:
    """Run a command without interruption; return its seconds and its result."""
    command = COMMANDS[name]
    begun = time.monotonic()
    process = start(command, folder)
    try:
        out, err = process.communicate(timeout=HANG)
    finally:
        end(process)
    if process.returncode:
        raise SystemExit(f"{name} fails without a kill: {out}{err}")
    return time.monotonic() - begun, command.result(folder) if command.result else None


def kill_once(name: str, folder: Path, number: signal.Signals, delay: float) -> tuple[bool, list[str]]:
    """Start a command and signal it after a delay; return whether it ended by itself, and the problems."""
    command = COMMANDS[name]
    process = start(command, folder)
    problems = []
    try:
        try:
            out, err = process.communicate(timeout=delay)
            ended, before = True, 0
        except subprocess.TimeoutExpired:
            ended, before = False, command.amount(folder) if name in ("compare", "explore") else 0
            process.send_signal(number)
            out, err = process.communicate(timeout=HANG)
        if group_is_left(process):
            problems.append("a process is left")
    except subprocess.TimeoutExpired:
        return False, [f"hangs after {number.name}"]
    finally:
        end(process)
    if "Traceback" in out + err:
        problems.append(f"traceback: {err[-2000:]}")
    if not ended and number != signal.SIGKILL and process.returncode not in (0, 130, -number):
        problems.append(f"exit code {process.returncode} after {number.name}: {err[-500:]}")
    if ended and process.returncode:
        problems.append(f"exit code {process.returncode} without a signal: {err[-500:]}")
    try:
        after = command.amount(folder)
        if after < before:
            problems.append(f"{after} rounds or chunks are left of {before}")
    except (SaevitError, ValueError, AssertionError, RuntimeError) as error:
        problems.append(f"unreadable: {error}")
    return ended and not process.returncode, problems


def series(name: str, kills: int, root: Path, draw: random.Random) -> tuple[Counter[str], list[str]]:
    """Kill a command many times, continue it, and compare each end with an uninterrupted one."""
    reference = root / f"{name}-whole"
    prepare(reference)
    seconds, expected = run_whole(name, reference)
    counts: Counter[str] = Counter()
    problems: list[str] = []
    folder, best = reference, 0
    while counts.total() - counts["ended by itself"] < kills:
        if folder is reference or (counts["ended by itself"] and best < 0):
            folder = root / f"{name}-{counts.total()}"
            prepare(folder)
            best = 0
        number = draw.choice(SIGNALS)
        ended, found = kill_once(name, folder, number, draw.uniform(0, 1.1 * seconds))
        counts["ended by itself" if ended else number.name] += 1
        for problem in found:
            problems.append(f"{name}, {number.name}, trial {counts.total()}: {problem}")
            print(problems[-1], flush=True)
        amount = best if found else COMMANDS[name].amount(folder)
        if amount < best:
            problems.append(f"{name}, {number.name}: {amount} are left of {best}")
            print(problems[-1], flush=True)
        best = max(best, amount)
        result = COMMANDS[name].result
        if ended and result:
            if result(folder) != expected:
                problems.append(f"{name}, trial {counts.total()}: another result than without interruption")
                print(problems[-1], flush=True)
            best = -1  # the next one begins anew
    return counts, problems


def main() -> int:
    """Kill, check and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS)
    options = parser.parse_args()
    names = [options.only] if options.only else list(COMMANDS)
    problems: list[str] = []
    table = [
        "| command | SIGKILL | SIGTERM | SIGINT | ended by itself | problems |",
        "| --- " + "| ---: " * 5 + "|",
    ]
    with tempfile.TemporaryDirectory() as root:
        for i, name in enumerate(names):
            share = options.kills // len(names) + (i < options.kills % len(names))
            counts, found = series(name, share, Path(root), random.Random(options.seed + i))
            problems += found
            cells = [counts[number.name] for number in SIGNALS] + [counts["ended by itself"], len(found)]
            table.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    print("\n".join(table))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
