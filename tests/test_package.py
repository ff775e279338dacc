"""What `import saevit` offers."""

import subprocess
import sys
from types import FunctionType

import pytest
import torch

import saevit

NAMES = ("SAEViT", "TimingOptions", "build", "compare", "fold", "parse", "profile")


@pytest.mark.parametrize("name", NAMES)
def test_the_names_are_functions_and_classes(name: str) -> None:
    assert isinstance(getattr(saevit, name), FunctionType | type)
    assert name in dir(saevit)
    assert name in saevit.__all__


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'saevit' has no attribute 'profil'"):
        _ = saevit.profil


def test_the_names_stay_functions_after_their_modules_are_loaded() -> None:
    code = (
        "import saevit, saevit.profiling, saevit.comparing.compare\n"
        "from saevit import compare, profile\n"
        "assert callable(profile) and callable(compare) and callable(saevit.profile)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_notebook_in_six_lines() -> None:
    from saevit import TimingOptions, build, compare, fold, parse, profile

    spec = parse("saevit_pico:classes=10")
    network = fold(build(spec))
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
    options = TimingOptions(batch_sizes=(1,), rounds=6, min_time=0.001)
    assert profile(network, img_size=(64, 64), counters=["torch"], timing=options).run
    assert [c.model for c in compare([str(spec), "resnet10t"], img_size=(64, 64)).candidates] == [
        "saevit_pico:classes=10",
        "timm:resnet10t",
    ]


def test_the_package_runs_as_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "saevit", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"saevit {saevit.__version__}\n")
