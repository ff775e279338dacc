"""Networks of the caller, named `module:factory`."""

import re
import sys
from pathlib import Path

import pytest

from saevit.baselines.factories import build_for_inference, is_factory
from saevit.errors import SaevitError
from saevit.models import is_baseline, resolve_model
from saevit.profiling import profile

CODE = """
import functools
import torch

number = 3

def make_net(width=4):
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.AdaptiveAvgPool2d(1))

def make_wide(width):
    return make_net(width)

def make_nothing():
    return None

def make_exit():
    raise SystemExit(3)

def make_trouble():
    raise KeyError("the weights")

net = make_net()
wide = functools.partial(make_wide, 8)
"""


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with a package, a broken module and one that needs another."""
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package/nets.py").write_text(CODE)
    (tmp_path / "own_broken.py").write_text("1 / 0")
    (tmp_path / "own_exit.py").write_text("import sys\nsys.exit(3)")
    (tmp_path / "own_needy.py").write_text("import no_such_package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("own_")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("name", "params"), [("make_net", 112), ("net", 112), ("wide", 224)], ids=lambda value: str(value)
)
def test_a_factory_of_the_current_folder_is_profiled(name: str, params: int) -> None:
    found = profile(f"own_package.nets:{name}", img_size=(32, 32), counters=["torch"])
    assert (found.model, found.params) == (f"own_package.nets:{name}", params)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("own_pakage.nets:make_net", "there is no module 'own_pakage': it is neither installed nor in the"),
        ("own_package.net:make_net", "there is no module 'own_package.net'"),
        ("own_package.nets:make_nte", "module own_package.nets has no 'make_nte': did you mean make_net"),
        ("own_package.nets:make_wide", "needs arguments (width): write a function without arguments"),
        ("own_package.nets:make_nothing", "returns an object of type NoneType, not a torch.nn.Module"),
        ("own_package.nets:make_trouble", "own_package.nets:make_trouble failed: KeyError: 'the weights'"),
        ("own_package.nets:make_exit", "own_package.nets:make_exit failed: SystemExit: 3"),
        ("own_package.nets:number", "is an object of type int, not a function"),
        ("own_broken:net", "module own_broken cannot be imported: ZeroDivisionError"),
        ("own_exit:net", "module own_exit cannot be imported: SystemExit"),
        (
            "own_needy:net",
            "module own_needy cannot be imported: ModuleNotFoundError: No module named 'no_such",
        ),
    ],
)
def test_what_is_wrong_is_one_line(text: str, message: str) -> None:
    with pytest.raises(SaevitError, match=re.escape(message)) as caught:
        profile(text)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("_here")
def test_classes_are_the_factorys_own() -> None:
    with pytest.raises(SaevitError, match="set the number of classes in the factory"):
        build_for_inference("own_package.nets:make_net", (32, 32), num_classes=10)


def test_a_name_is_not_imported_before_it_is_built() -> None:
    assert resolve_model("no_such_module.at_all:make_net") == "no_such_module.at_all:make_net"
    assert is_baseline("no_such_module.at_all:make_net")
    assert "no_such_module" not in sys.modules


@pytest.mark.parametrize(
    "text", ["resnet18", "saevit_tiny:width=2", "a:b:c", "a:", ":b", "a-b:c", "timm:x*", "a:b c"]
)
def test_other_texts_are_no_factories(text: str) -> None:
    assert not is_factory(text)
