"""What `saevit doctor` finds out about packages, folders and the noise of timings."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from saevit import doctor
from saevit.doctor import ADDS, REQUIRED, Diagnosis, Extra, Folder, check_extra, is_writable
from saevit.profiling import Profile
from saevit.report.views.doctor import view_diagnosis
from saevit_cli.app import run_command
from tests.report.conftest import ENVIRONMENT, timed  # noqa: F401

NEEDED = [Requirement(text) for text in ("numpy>=1", "nothing_like_it; python_version < '3'")]
FURTHER = [
    Requirement(text)
    for text in (
        "numpy>=1; extra == 'a'",
        "torch>=999; extra == 'a'",
        "no_such_package>=2; extra == 'a'",
        "saevit[b]; extra == 'a'",
        "no_such_package; extra == 'b'",
    )
]
FOUND = Diagnosis(
    environment=ENVIRONMENT,
    devices=("cpu",),
    vectors=("avx2",),
    free_bytes=2**33,
    load=0.5,
    extras=(Extra(name=REQUIRED, installed={}, missing=()),),
    folders=(Folder(use="cache", path="/c", is_writable=True),),
)


def test_an_extra_lacks_what_is_not_installed_or_too_old() -> None:
    found = check_extra("a", NEEDED + FURTHER)
    assert list(found.installed) == ["numpy"]
    assert found.missing == ("torch>=999", "no_such_package>=2")
    assert found.command == "pip install 'saevit[a]'"
    needed = check_extra(REQUIRED, NEEDED + FURTHER)
    assert (list(needed.installed), needed.missing) == (["numpy"], ())


def test_every_extra_is_described() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(ADDS) == set(project["optional-dependencies"])


def test_a_table_names_few_packages_and_the_notes_all() -> None:
    extra = Extra(name="export", installed={}, missing=("a>=1", "b", "c<2,>=1", "d~=3", "e"))
    table = view_diagnosis(replace(FOUND, extras=(extra,))).tables[1]
    assert table.rows[0][1] == "a, b, c and 2 more"
    assert "export lacks a>=1, b, c<2,>=1, d~=3, e" in table.notes


def test_a_folder_that_can_be_made_is_writable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_writable(tmp_path / "new" / "newer")
    assert not is_writable(tmp_path / "file" / "new")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, ""),
        (
            {"extras": (Extra(name=REQUIRED, installed={}, missing=("timm>=9",)),)},
            "timm>=9 is not installed: pip",
        ),
        (
            {"folders": (Folder(use="cache", path="/c", is_writable=False),)},
            "/c (cache) cannot be written to",
        ),
    ],
)
def test_problems_come_first(changes: dict[str, object], line: str) -> None:
    view = view_diagnosis(replace(FOUND, **changes))  # type: ignore[arg-type]
    assert view.result == ("1 problem." if line else "saevit works here.")
    assert "".join(view.warnings).startswith(line)


def test_the_resolution_is_the_farther_end_of_the_noise_floor(timed: Profile) -> None:  # noqa: F811
    run = replace(timed.run, subjects=tuple(one for one in timed.run.subjects if not one.failure))
    floor = run.noise_floor
    assert floor is not None
    found = replace(FOUND, noise=run)
    assert found.resolution == max(floor.high - 1, 1 - floor.low) == pytest.approx(0.0909, abs=1e-3)
    assert "6 rounds can resolve differences in time from about 9.1 % on" in view_diagnosis(found).result


def test_the_command_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(["doctor", "--no-measure", "--store", str(tmp_path / "s"), "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["folders"][0] == {"use": "stored runs", "path": str(tmp_path / "s"), "is_writable": True}
    assert data["noise"] is data["resolution"] is data["roofs"] is None
    monkeypatch.setattr(doctor, "is_writable", lambda path: False)
    assert run_command(["doctor", "--no-measure"]) == 1
    assert "cannot be written to: change its permissions" in capsys.readouterr().out
