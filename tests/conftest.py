"""Options and settings of all tests."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew; review the diff"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Share the cores among the workers, and make the tests independent of the machine's load and shell."""
    settings.register_profile("any_load", deadline=None)
    settings.load_profile("any_load")
    # A shell that starts the tests in the background has SIGINT ignored; their children would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an accelerator where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.accelerator.is_available():
            pytest.skip("needs an accelerator")


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the runs of the user, and the rows of the last exploration, out of the tests."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """End the processes that a test started and left, as one that fails may do."""
    own = psutil.Process()
    before = set(own.children(recursive=True))
    yield
    for process in set(own.children(recursive=True)) - before:
        if not is_shared(process):
            process.kill()


def is_shared(process: psutil.Process) -> bool:
    """Tell whether a child serves more tests: helpers of multiprocessing and torch, a browser."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:  # it ended
        return True
    return any(name in command for name in ("resource_tracker", "forkserver", "compile_worker", "chrom"))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Return a check that a value, text or plain data, equals the golden file of that name."""

    def check(name: str, value: Any) -> None:
        path = GOLDEN / name
        text = value if isinstance(value, str) else json.dumps(value, indent=1) + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{name} is missing: run pytest with --update-golden"
        assert text == path.read_text(encoding="utf-8"), f"{name} changed: see the diff after --update-golden"

    return check
