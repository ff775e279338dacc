"""Icons as labelled images: a class is a concept that many icon sets draw; whole sets are held out."""

import re
import time
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from saevit.errors import DataError, OptionError, need
from saevit.files import ICONS, as_text, replace_file
from saevit.measure.progress import NextStep, Tell
from saevit.text import plural
from saevit.train.icon_package import WAY_OUT, Drawing, hash_package, read_icon_sets
from saevit.train.image_data import VALIDATION_SHARE, ImageData, Split, hash_images
from saevit.train.svg_renderer import SvgRenderer

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 1  # of the rules in this file and in icon_package.py; part of the key of the cache
ICON_SIZE, MAX_ICON_SIZE = 128, 512  # px, by default and at most
SIDE, COARSE = 64, 16  # side in px of the renderings that are compared
INK = 200  # an image whose pixels are all brighter is empty
STYLES = re.compile(  # parts of a name that describe the style or the size, not the concept
    "-(outlined?|filled|fill|solid|line|linear|bold|light|thin|duotone|twotone|two-tone|rounded|round|sharp|"
    "regular|sm|small|lg|large|mini|alt|o|broken|variant|16|20|24|28|32|48|[1-4])(?=-|$)"
)
BRANDS = frozenset(
    (
        *("android", "apple", "bitcoin", "facebook", "github", "google", "instagram", "linkedin"),
        *("twitter", "youtube"),
    )
)
STEP = 50  # drawings between two reports of progress
CHUNK = 1024  # images or pairs per matrix product
T = TypeVar("T", str, int)
Pixels = NDArray[np.uint8]
Pairs = list[tuple[int, int]]
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, kw_only=True)
class IconRules:
    """The thresholds that select drawings and form classes. Cosines are between renderings."""

    least_sets: int = 30  # minimum number of sets that draw a concept
    same: float = 0.999  # minimum cosine of two renderings of the same drawing
    least_namings: int = 2  # minimum number of sets with each of two names for a drawing, to merge the names
    copied: float = 0.99  # minimum cosine of a drawing and its copy
    copied_share: float = 0.15  # minimum share of copied drawings in a set that is a copy of another


class Icon(NamedTuple):
    """A drawing with its icon set, its name and its concept."""

    concept: str  # the name without its style
    set: str
    name: str
    drawing: Drawing


@dataclass(frozen=True, kw_only=True)
class IconTable:
    """Rendered icons, as the cache stores them."""

    keys: NDArray[np.str_]  # SET:NAME and the hash of the drawing, for the fingerprint of the data
    classes: NDArray[np.str_]
    labels: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    ends: NDArray[np.int64]  # end of each image in `pixels`
    pixels: Pixels  # images compressed with zlib, one after the other
    skipped: NDArray[np.int64]  # number of drawings that were not rendered, a scalar


def open_icons(
    path: Path,
    split: Split,
    *,
    size: int = ICON_SIZE,
    rules: IconRules | None = None,
    caches: Sequence[Path] | None = None,
    tell: Tell = lambda step: None,
) -> ImageData:
    """Open the icons of the npm package @iconify/json. The first call renders them, and stores a cache.

    Args:
        path: the .tgz file, or the folder with package.json and json/.
        split: `train`, `validation` or `all`; an icon set and its copies are in the same split.
        size: side of the images in px, at most 512.
        rules: the thresholds that select drawings and form classes.
        caches: folders for the cache, of which the first writable one is used; the default is the folder of
            the package, then the user's cache folder.
        tell: called with the progress.

    Raises:
        DataError: the path is not the package.
        MissingPackageError: resvg-py is not installed.
    """
    rules, size = rules or IconRules(), min(size, MAX_ICON_SIZE)
    key = sha256(repr((hash_package(path), VERSION, size, astuple(rules))).encode()).hexdigest()[:16]
    package = path.resolve()
    if caches is None:
        caches = (package.parent, need("platformdirs").user_cache_path("saevit"))
    files = [folder / f"{package.name}-icons-{size}px-{key}.npz" for folder in caches]
    table = next(filter(None, map(read_cache, files)), None)
    warnings: tuple[str, ...] = ()
    if table is None:
        table = render_package(path, size, rules, tell)
        if not any(write_cache(table, file) for file in files):
            warnings = ("the rendered icons cannot be cached: they are rendered again each time",)
    chosen = np.flatnonzero((split == "all") | (table.held_out == (split == "validation")))
    classes = tuple(str(name) for name in table.classes)
    labels = tuple(int(label) for label in table.labels[chosen])
    keys, num_out = [str(one) for one in table.keys], int(table.held_out.sum())
    sets, out = (
        {keys[i].partition(":")[0] for i in rows}
        for rows in (range(len(keys)), np.flatnonzero(table.held_out))
    )
    return ImageData(
        name=f"{ICONS}{as_text(package)}",
        split=split,
        class_names=classes,
        labels=labels,
        fingerprint=hash_images(classes, [f"{classes[table.labels[i]]} {keys[i]}" for i in chosen]),
        statement=f"icons: {len(keys):,} icons of {plural(len(sets), 'set')}, {len(classes)} classes, "
        f"{size} x {size} px; {plural(len(out), 'set')} with {num_out:,} icons are held out "
        f"for validation; {plural(int(table.skipped), 'drawing')} skipped (animated, malformed or ambiguous)",
        read=partial(read_icon, table.pixels, table.ends, size, chosen),
        warnings=warnings,
        crop_pct=1.0,
    )


def read_icon(
    pixels: Pixels, ends: NDArray[np.int64], size: int, chosen: NDArray[np.int64], index: int
) -> "Image":
    """Return one icon, dark on white, as an RGB image."""
    i = chosen[index]
    data = zlib.decompress(pixels[ends[i - 1] if i else 0 : ends[i]].tobytes())
    grey = np.frombuffer(data, np.uint8).reshape(size, size)
    image: Image = need("PIL.Image").fromarray(grey).convert("RGB")
    return image


def read_cache(file: Path) -> IconTable | None:
    """Read rendered icons; None if the file is missing, damaged or incomplete."""
    try:
        with file.open("rb") as data, np.load(data, allow_pickle=False) as arrays:  # checks each CRC-32
            table = IconTable(**arrays)
    except (*DAMAGED, TypeError):
        return None
    lengths = {len(one) for one in (table.keys, table.labels, table.held_out, table.ends)}
    return table if len(lengths) == 1 and table.ends[-1] == len(table.pixels) else None


def write_cache(table: IconTable, file: Path) -> bool:
    """Write rendered icons to a file, and return whether that succeeded."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, lambda path: np.savez(path, **vars(table)))
    except (OSError, OptionError):
        return False
    return True


def render_package(path: Path, size: int, rules: IconRules, tell: Tell) -> IconTable:
    """Read the package, select drawings and form classes by the rules, and render the icons."""
    need("resvg_py", "train")
    tell(NextStep(text="reading icons"))
    found = list_drawings(read_icon_sets(path), rules.least_sets)
    small = list(render_all([one.drawing for one in found], SIDE, tell, "comparing icons"))
    seen = {i: image for i, image in enumerate(small) if image is not None and image.min() <= INK}
    icons = [found[i] for i in seen]
    if not icons:
        raise DataError(f"{ICONS}{path}: no concept is drawn by {rules.least_sets} sets: {WAY_OUT}")
    tell(NextStep(text="comparing icons"))
    pairs = find_pairs(np.stack(list(seen.values())), rules)
    same = [(i, j) for i, j, cosine in pairs if cosine > rules.same]
    names = merge_concepts(icons, same, rules.least_namings)
    kept = drop_ambiguous(icons, names, same)
    copies = [(i, j) for i, j, cosine in pairs if cosine > rules.copied and names[i] == names[j]]
    held_out = hold_out_sets([icons[i].set for i in kept], group_sets(icons, copies, rules.copied_share))
    images = render_all([icons[i].drawing for i in kept], size, tell, "rendering icons")
    packed = {
        i: zlib.compress(image.tobytes()) for i, image in zip(kept, images, strict=True) if image is not None
    }
    kept = list(packed)
    classes = sorted({names[i] for i in kept})
    hashes = [sha256(icons[i].drawing.write_svg(SIDE).encode()).hexdigest() for i in kept]
    return IconTable(
        keys=np.array([f"{icons[i].set}:{icons[i].name} {one}" for i, one in zip(kept, hashes, strict=True)]),
        classes=np.array(classes),
        labels=np.array([classes.index(names[i]) for i in kept]),
        held_out=np.array([icons[i].set in held_out for i in kept]),
        ends=np.cumsum([len(data) for data in packed.values()]),
        pixels=np.frombuffer(b"".join(packed.values()), np.uint8),
        skipped=np.array(len(found) - len(kept)),
    )


def list_drawings(sets: Mapping[str, Mapping[str, Drawing]], least_sets: int) -> list[Icon]:
    """Return the drawings of each concept that at least `least_sets` sets draw, except brands."""
    concepts: defaultdict[str, list[Icon]] = defaultdict(list)
    for name_of_set, drawings in sets.items():
        for name, drawing in drawings.items():
            concepts[STYLES.sub("", name)].append(Icon(STYLES.sub("", name), name_of_set, name, drawing))
    return [
        icon
        for concept, icons in sorted(concepts.items())
        if concept not in BRANDS and len({icon.set for icon in icons}) >= least_sets
        for icon in icons
    ]


def render_all(drawings: Sequence[Drawing], size: int, tell: Tell, text: str) -> Iterator[Pixels | None]:
    """Yield each drawing as a grey image (size, size), black on white; None if it is unsafe or malformed."""
    started = time.monotonic()
    with SvgRenderer() as renderer:
        for i, drawing in enumerate(drawings):
            if i % STEP == 0:
                left = (time.monotonic() - started) / i * (len(drawings) - i) if i else None
                tell(NextStep(text=text, done=i / len(drawings), eta=left))
            yield renderer.render(drawing.write_svg(size)) if drawing.is_safe else None


def find_pairs(images: Pixels, rules: IconRules) -> list[tuple[int, int, float]]:
    """Return pairs of similar images (i, j, cosine of their ink), for images of shape (N, 64, 64).

    For speed, only pairs that are similar at 16 x 16 px are compared at 64 x 64 px.
    """

    def normalize(values: NDArray[Any]) -> NDArray[np.float32]:
        ink = 255 - values.reshape(len(values), -1).astype(np.float32)
        return ink / np.linalg.norm(ink, axis=1, keepdims=True)

    least, block = min(rules.same, rules.copied), SIDE // COARSE
    coarse = normalize(images.reshape(-1, COARSE, block, COARSE, block).mean((2, 4)))
    pairs = []
    for top in range(0, len(images), CHUNK):
        i, j = np.nonzero(coarse[top : top + CHUNK] @ coarse[top:].T > least)
        i, j = i[i < j] + top, j[i < j] + top
        for at in range(0, len(i), CHUNK):
            a, b = i[at : at + CHUNK], j[at : at + CHUNK]
            cosines = np.einsum("nd,nd->n", normalize(images[a]), normalize(images[b]))
            pairs += [(int(m), int(n), float(c)) for m, n, c in zip(a, b, cosines, strict=True) if c > least]
    return pairs


def merge_concepts(icons: Sequence[Icon], same: Pairs, least_namings: int) -> list[str]:
    """Return the class of each icon; concepts are merged if enough sets of each share a drawing.

    Args:
        icons: all icons.
        same: pairs of icons with the same drawing.
        least_namings: minimum number of sets that use each of the two names.
    """
    namings: defaultdict[tuple[str, str], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for pair in same:
        a, b = sorted((icons[i] for i in pair), key=lambda icon: icon.concept)
        if a.concept != b.concept:
            namings[a.concept, b.concept][0].add(a.set)
            namings[a.concept, b.concept][1].add(b.set)
    counts = Counter(icon.concept for icon in icons)
    merged = [pair for pair, sets in namings.items() if min(map(len, sets)) >= least_namings]
    leaders = join(counts, merged, key=lambda concept: (-counts[concept], concept))
    return [leaders[icon.concept] for icon in icons]


def drop_ambiguous(icons: Sequence[Icon], names: Sequence[str], same: Pairs) -> list[int]:
    """Return the indices of the icons whose class is the most frequent one for their drawing."""
    leaders = join(range(len(icons)), same)
    votes: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for i, name in enumerate(names):
        votes[leaders[i]][name] += 1
    return [
        i
        for i, name in enumerate(names)
        if all(other == name or count < votes[leaders[i]][name] for other, count in votes[leaders[i]].items())
    ]


def group_sets(icons: Sequence[Icon], copies: Pairs, share: float) -> dict[str, str]:
    """Return the group of each set. Two sets are in one group if a `share` of one is copied in the other."""
    copied: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for i, j in copies:
        copied[icons[i].set, icons[j].set].add(i)
        copied[icons[j].set, icons[i].set].add(j)
    counts = Counter(icon.set for icon in icons)
    pairs = [(a, b) for (a, b), drawings in copied.items() if a != b and len(drawings) >= share * counts[a]]
    return join(counts, pairs)


def hold_out_sets(sets: Sequence[str], groups: Mapping[str, str]) -> set[str]:
    """Return the sets held out for validation: groups in the order of their hash, up to 20 % of the icons."""
    counts = Counter(groups[name] for name in sets)
    out: set[str] = set()
    for group in sorted(counts, key=lambda name: sha256(name.encode()).digest()):
        if sum(counts[one] for one in out) < VALIDATION_SHARE * len(sets):
            out.add(group)
    return {name for name, group in groups.items() if group in out}


def join(
    members: Iterable[T], pairs: Iterable[tuple[T, T]], key: Callable[[T], Any] | None = None
) -> dict[T, T]:
    """Connect the members of each pair, and map each member to the first member (by `key`) of its group."""
    from scipy.cluster.hierarchy import DisjointSet  # slow to import

    groups = DisjointSet(members)
    for pair in pairs:
        groups.merge(*pair)
    return {
        member: first for group in groups.subsets() for first in [min(group, key=key)] for member in group
    }
