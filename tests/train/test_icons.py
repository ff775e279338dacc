"""Icons of small packages made here: rules, rendering, split by set, cache, and packages that are refused."""

import gzip
import io
import json
import os
import random
import signal
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saevit.errors import MissingPackageError, OptionError
from saevit.measure.progress import NextStep
from saevit.train import icons, svg_renderer
from saevit.train.data_sources import open_data
from saevit.train.icon_package import Drawing, read_icon_sets
from saevit.train.icons import IconRules, open_icons
from saevit.train.image_data import ImageData
from saevit.train.svg_renderer import SvgRenderer

pytestmark = pytest.mark.skipif(not find_spec("resvg_py"), reason="resvg-py is not installed")

RULES = IconRules(least_sets=4)
RECTANGLE = Drawing('<rect width="20" height="10"/>', 0, 0, 20, 10)
CONCEPTS = ("bar", "disc", "ring", "tent")


def draw(style: str, concept: str) -> dict[str, Any]:
    """Return an icon: a polygon that depends on the style of its set and on its concept."""
    chance = random.Random(f"{style} {concept}")
    points = " ".join(f"{chance.uniform(0, 24):.2f},{chance.uniform(0, 24):.2f}" for _ in range(6))
    return {"body": f'<polygon points="{points}" fill="currentColor"/>'}


def make_set(name: str, **changes: Any) -> dict[str, Any]:
    """Return a set of icons in a style of its own."""
    style = changes.pop("style", name)
    found = {concept: draw(style, concept) for concept in CONCEPTS}
    info = {"license": {"spdx": changes.pop("spdx", "MIT")}, "category": changes.pop("category", "UI 24px")}
    return {"prefix": name, "info": info, "icons": found, "width": 24, "height": 24} | changes


@dataclass
class Package:
    """A package on the disk; its sets are written by `as_folder` or `as_archive`."""

    root: Path
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    name: str = "@iconify/json"

    def add(self, *names: str, **changes: Any) -> "Package":
        self.sets |= {name: make_set(name, **changes) for name in names}
        return self

    def files(self) -> dict[str, bytes]:
        found = {"package.json": json.dumps({"name": self.name}).encode()}
        return found | {f"json/{name}.json": json.dumps(one).encode() for name, one in self.sets.items()}

    def as_folder(self, name: str = "json") -> Path:
        for file, data in self.files().items():
            path = self.root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return self.root / name

    def as_archive(self, name: str = "icons.tgz", **more: bytes) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        with tarfile.open(self.root / name, "w:gz") as archive:
            for file, data in (self.files() | more).items():
                member = tarfile.TarInfo(f"package/{file}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return self.root / name


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path / "here").add(*(f"set-{i}" for i in range(12)))


@pytest.fixture
def renderer() -> Iterator[SvgRenderer]:
    with SvgRenderer() as one:
        yield one


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_crash_or_a_hang_costs_one_drawing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svg_renderer, "TIMEOUT", 0.2)
    monkeypatch.setattr(svg_renderer, "MAX_FAILURES", 1)
    with SvgRenderer() as one:
        one.process.send_signal(number)
        assert one.render(RECTANGLE.write_svg(32)) is None
        monkeypatch.setattr(svg_renderer, "TIMEOUT", 10.0)
        assert one.render(RECTANGLE.write_svg(32)) is not None
        one.process.kill()
        with pytest.raises(OptionError, match="resvg failed 2 times"):
            one.render(RECTANGLE.write_svg(32))


def test_the_renderer_opens_no_file(tmp_path: Path, renderer: SvgRenderer) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "black.png")
    link = f'<image width="20" height="20" href="{tmp_path}/black.png"/>'
    image = renderer.render(Drawing(link, 0, 0, 20, 20).write_svg(32))  # as if no rule refused it
    assert image is None or image.min() == 255


def open_all(path: Path, **options: Any) -> ImageData:
    return open_icons(path, "all", **{"rules": RULES, "caches": [], "size": 32} | options)


def keys_of(path: Path, split: Any, rules: IconRules = RULES) -> set[str]:
    """Return SET:NAME of each icon of a split."""
    table = icons.render_package(path, 32, rules, lambda step: None)
    chosen = np.flatnonzero((split == "all") | (table.held_out == (split == "validation")))
    return {str(table.keys[i]).partition(" ")[0] for i in chosen}


def sets_of(path: Path, split: Any, rules: IconRules = RULES) -> set[str]:
    return {key.partition(":")[0] for key in keys_of(path, split, rules)}


def test_icons_are_grey_images_of_concepts_split_by_set(package: Package) -> None:
    path = package.as_archive()
    steps: list[NextStep] = []
    everything = open_all(path, tell=steps.append)
    assert everything.class_names == ("bar", "disc", "ring", "tent")
    assert len(everything) == 48
    image, label = everything[0]
    assert (image.mode, image.size) == ("RGB", (32, 32))
    assert everything.class_names[label] == "bar"
    pixels = np.asarray(image)
    assert pixels.min() < 40
    assert pixels.max() == 255  # black on white
    assert (pixels == pixels[..., :1]).all()
    assert everything.crop_pct == 1.0
    assert {step.text for step in steps} == {"reading icons", "comparing icons", "rendering icons"}
    parts = [open_icons(path, split, rules=RULES, caches=[], size=32) for split in ("train", "validation")]
    assert sum(map(len, parts)) == len(everything)
    assert 0.2 <= len(parts[1]) / len(everything) < 0.35
    assert len({data.fingerprint for data in (everything, *parts)}) == 3
    assert "48 icons of 12 sets, 4 classes, 32 x 32 px" in everything.statement


def test_folder_and_archive_have_the_same_icons(package: Package) -> None:
    found = [open_all(path) for path in (package.as_folder(), package.as_archive())]
    assert found[0].fingerprint == found[1].fingerprint
    assert [one[0].tobytes() for one in found[0]] == [one[0].tobytes() for one in found[1]]
    assert open_all(package.as_folder(), size=48).fingerprint == found[0].fingerprint  # whatever the size


@settings(max_examples=10, deadline=None)
@given(copies=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6), seed=st.integers(0, 99))
def test_a_set_and_its_copies_are_on_one_side(
    copies: list[tuple[int, int]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    styles = {i: f"{seed}-{i}" for i in range(10)}
    for copy, original in copies:
        styles[copy] = styles[original]
    package = Package(tmp_path_factory.mktemp("icons"))
    for i, style in styles.items():
        package.add(f"set-{i}", style=style)
    path = package.as_folder()
    train, validation = (sets_of(path, split) for split in ("train", "validation"))
    assert not train & validation
    assert len(train | validation) == 10
    sides = {
        style: {f"set-{i}" in validation for i, s in styles.items() if s == style}
        for style in styles.values()
    }
    assert all(len(side) == 1 for side in sides.values())


def test_a_few_common_shapes_do_not_make_a_copy(package: Package) -> None:
    for one in package.sets.values():
        one["icons"]["square"] = {"body": '<rect x="4" y="4" width="16" height="16"/>'}
    path = package.as_folder()
    assert sets_of(path, "validation", IconRules(least_sets=4, copied_share=0.5))
    assert not sets_of(
        path, "train", IconRules(least_sets=4, copied_share=0.1)
    )  # one group, and all of it out


def test_the_same_drawing_under_two_names_is_one_class(package: Package) -> None:
    for i, one in enumerate(package.sets.values()):  # half of the sets call a disc a dot
        if i % 2:
            one["icons"]["dot"] = one["icons"].pop("disc")
    for name in ("set-0", "set-2"):
        package.sets[name]["icons"]["dot"] = package.sets[name]["icons"]["disc"]
    data = open_all(package.as_folder())
    assert data.class_names == ("bar", "dot", "ring", "tent")


def test_a_drawing_that_one_set_names_otherwise_is_left_out(package: Package) -> None:
    for i, one in enumerate(package.sets.values()):
        one["icons"]["plate"] = {"body": f'<rect x="2" y="2" width="{8 + i}" height="20"/>'}
    package.sets["set-0"]["icons"]["plate"] = package.sets["set-0"]["icons"]["disc"]
    path = package.as_folder()
    found = keys_of(path, "all")
    assert {"set-0:plate", "set-0:disc"} & found == set()  # nobody knows which of the two is right
    assert len(found) == 5 * 12 - 2


def test_styles_belong_to_a_concept_and_brands_to_none(package: Package) -> None:
    for one in package.sets.values():
        one["icons"]["ring-outline-24"] = one["icons"].pop("ring")
        one["icons"]["github"] = one["icons"]["tent"]
    data = open_all(package.as_folder())
    assert data.class_names == ("bar", "disc", "ring", "tent")


def test_only_free_sets_of_interface_icons_are_read(package: Package) -> None:
    package.add("gpl", spdx="GPL-3.0").add("by", spdx="CC-BY-4.0").add("brands", category="Logos")
    package.add("flags", category="Flags / Maps").add("fluent-emoji", category=None)
    package.add("free", spdx="CC0-1.0", category=None).add("nothing", info={}).add("odd", info=[1], icons={})
    expected = {*(f"set-{i}" for i in range(12)), "free"}
    for path in (package.as_folder(), package.as_archive()):
        assert set(read_icon_sets(path)) == expected


HOSTILE = (
    '<image href="/etc/passwd"/>',
    '<image xlink:href="file:///dev/zero"/>',
    '<g id="a"><use href="#a"/><use href="#a"/></g>',
    "<text>a</text>",
    '<path d="M0 0h9"><animate attributeName="d" dur="1s"/></path>',
    '<foreignObject width="9" height="9"/>',
    "<style>path{fill:red}</style>",
    '<path style="fill:url(/etc/passwd)" d="M0 0h9v9z"/>',
    "<![CDATA[<image/>]]>",
    "<!-- --><path/>",
    "&lol;",
    "<g>" * 200 + "</g>" * 200,
    '<path d="M0 0' + "h1" * 40_000 + '"/>',
    '<g mask="url(#m)">' * 30 + "</g>" * 30,
    '<?xml-stylesheet href="a.css"?><path d="M0 0h9v9z"/>',
    '<feImage xmlns="http://www.w3.org/2000/svg"/>',
)
BROKEN = ("<path", '</svg><path d="M0 0h9v9z"/><svg>', "<g>", "", '<path d="nonsense"/>', "\0", "\ud800")


@pytest.mark.parametrize("body", [*HOSTILE, *BROKEN])
def test_hostile_and_broken_drawings_are_skipped_and_counted(body: str, package: Package) -> None:
    package.sets["set-3"]["icons"]["tent"] = {"body": body}
    data = open_all(package.as_folder())
    assert len(data) == 47
    assert "1 drawing skipped" in data.statement


@pytest.mark.parametrize("body", HOSTILE)
def test_what_could_load_or_multiply_never_reaches_the_renderer(body: str) -> None:
    assert not Drawing(body, 0, 0, 24, 24).is_safe


@pytest.mark.parametrize(
    "change", [{"width": 0}, {"height": -1}, {"left": 1e300}, {"width": "24"}, {"top": None}]
)
def test_impossible_sizes_are_skipped(change: dict[str, Any], package: Package) -> None:
    package.sets["set-3"]["icons"]["tent"] |= change
    assert len(open_all(package.as_folder())) == 47


@given(numbers=st.lists(st.floats() | st.sampled_from([1e38, -1e38, 1e-38, 0.0]), min_size=6, max_size=6))
@settings(max_examples=20, deadline=None)
def test_extreme_numbers_do_not_stop_the_rendering(numbers: list[float]) -> None:
    a, b, c, d, e, f = numbers
    body = (
        f'<g transform="scale({a} {b})"><path stroke="#000" stroke-width="{c}" '
        f'd="M{d} {e}L9 9C{a} {f} 1 1 {b} 2A{a} {b} 0 1 0 {e} {f}z"/><circle cx="{a}" cy="9" r="{f}"/></g>'
    )
    drawing = Drawing(body, 0, 0, 24, 24)
    assert drawing.is_safe
    with pytest.MonkeyPatch.context() as changed, SvgRenderer() as renderer:
        changed.setattr(svg_renderer, "TIMEOUT", 0.5)
        image = renderer.render(drawing.write_svg(32))
        assert image is None or image.shape == (32, 32)
        changed.setattr(svg_renderer, "TIMEOUT", 10.0)
        assert renderer.render(RECTANGLE.write_svg(32)) is not None


def test_a_drawing_of_any_aspect_is_centred(renderer: SvgRenderer) -> None:
    wide = renderer.render(RECTANGLE.write_svg(32))
    assert wide is not None
    assert (wide[8:24] < 40).all()
    assert (wide[:8] == 255).all()
    assert (wide[24:] == 255).all()


def same_images(one: ImageData, other: ImageData) -> bool:
    return [(a.tobytes(), label) for a, label in one] == [(a.tobytes(), label) for a, label in other]


def test_the_cache_is_equal_to_a_fresh_rendering(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fresh = package.as_archive(), open_all(package.as_archive())
    cached = open_all(path, caches=[path.parent])
    (file,) = path.parent.glob("icons.tgz-icons-32px-*.npz")
    with monkeypatch.context() as changed:
        changed.setattr(icons, "render_package", None)  # is not called again
        again = open_all(path, caches=[path.parent])
        with pytest.raises(TypeError):
            open_all(path, caches=[path.parent], size=40)  # another size is another cache
        with pytest.raises(TypeError):
            open_all(path, caches=[path.parent], rules=IconRules(least_sets=5))
        package.add("more").as_archive()
        with pytest.raises(TypeError):
            open_all(path, caches=[path.parent])
    for data in (cached, again):
        assert same_images(data, fresh)
        assert (data.fingerprint, data.statement) == (fresh.fingerprint, fresh.statement)
    assert file.exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "incomplete"])
def test_a_damaged_cache_is_rendered_again(damage: str, package: Package) -> None:
    path = package.as_archive()
    fresh = open_all(path, caches=[path.parent])
    (file,) = path.parent.glob("*.npz")
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "foreign":
        np.savez(file, other=np.zeros(3))
    else:
        with np.load(file) as arrays:
            np.savez(file, **{name: one[:-1] if name == "labels" else one for name, one in arrays.items()})
    assert same_images(open_all(path, caches=[path.parent]), fresh)
    assert same_images(open_all(path, caches=[path.parent]), fresh)  # from the repaired cache
    assert [one.name for one in path.parent.iterdir() if one.suffix != ".tgz"] == [file.name]


def test_the_cache_goes_where_it_can_be_written(package: Package, tmp_path: Path) -> None:
    path = package.as_archive()
    closed = tmp_path / "closed"
    closed.write_text("a file, so that no folder can be made")
    data = open_all(path, caches=[closed / "in", tmp_path / "open"])
    assert len(list((tmp_path / "open").iterdir())) == 1
    assert data.warnings == ()
    assert open_all(path, caches=[closed / "in"]).warnings == (
        "the rendered icons cannot be cached: they are rendered again each time",
    )


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def spoil(data: bytes) -> bytes:
    return data[:-6] + bytes(6)


def unpack_and_cut(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data)[:700])


@pytest.mark.parametrize(
    "change", [cut, spoil, unpack_and_cut, lambda data: b"", lambda data: b"PK\3\4" + data, gzip.compress]
)
def test_a_damaged_archive_is_refused_in_one_line(change: Callable[[bytes], bytes], package: Package) -> None:
    path = package.as_archive()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(OptionError, match=r"icons.tgz .*: get it with: npm pack @iconify/json$") as error:
        open_all(path)
    assert "\n" not in str(error.value)
    assert not list(path.parent.glob("*.npz"))


def test_what_is_not_the_package_is_refused(package: Package, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nowhere.tgz does not exist: get it with: npm pack @iconify/json"):
        open_data(f"icons:{tmp_path / 'nowhere.tgz'}", "train")
    package.name = "@iconify/utils"
    for path in (package.as_archive(), package.as_folder()):
        with pytest.raises(OptionError, match="is not the npm package @iconify/json: get it with"):
            open_all(path)
    empty = Package(tmp_path / "empty")
    for path in (empty.as_archive(), empty.as_folder()):
        with pytest.raises(OptionError, match="has no icon sets: get it with"):
            open_all(path)
    few = Package(tmp_path / "few").add("one")
    with pytest.raises(OptionError, match="no concept is drawn by 4 sets: get it with"):
        open_all(few.as_folder())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OptionError, match="is neither a file nor a folder"):
        open_all(tmp_path / "pipe")
    broken = few.as_folder("broken")
    (broken / "json" / "one.json").write_bytes(b"[" * 100_000)
    with pytest.raises(OptionError, match="is damaged"):
        open_all(broken)


def test_members_outside_the_package_are_never_read(package: Package, tmp_path: Path) -> None:
    bad = json.dumps(make_set("bad")).encode()
    more = {
        "../../json/bad.json": bad,
        "json/../../bad.json": bad,
        "json/deep/bad.json": bad,
        "json/bad.txt": bad,
    }
    path = package.as_archive(**more)
    with tarfile.open(package.root / "links.tgz", "w:gz") as archive, tarfile.open(path) as original:
        for member in original:
            archive.addfile(member, original.extractfile(member))
        link = tarfile.TarInfo("package/json/link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    for one in (path, package.root / "links.tgz"):
        assert set(read_icon_sets(one)) == {f"set-{i}" for i in range(12)}
    assert not list(tmp_path.rglob("bad*"))


def test_an_archive_unpacks_to_a_bounded_size(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    path = package.as_archive(**{"json/zeros.bin": bytes(2**20)})
    monkeypatch.setattr("saevit.train.icon_package.MAX_PACKAGE", 2**20)
    with pytest.raises(OptionError, match=r"more than 1,048,576 bytes unpacked"):
        open_all(path)


def test_without_the_renderer(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(
        MissingPackageError, match=r"resvg_py is not installed: pip install 'saevit\[train\]'"
    ):
        open_all(package.as_archive())
