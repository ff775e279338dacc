"""The recipe of a training: every hyperparameter with its default, its valid values and its source."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

from saevit.errors import OptionError, nearest
from saevit.text import abbreviated, read_number, read_whole

DEIT = "DeiT, arXiv 2012.12877, table 9"
DEIT_CODE = "DeiT's published code"
INCEPTION_CROP = "timm's create_transform, Inception's crop (arXiv 1409.4842)"
DECISION = "our decision"
DROP_PATH = ((5e6, 0.0), (12e6, 0.05), (math.inf, 0.1))  # (maximum of parameters, drop-path rate)
MAX_WARMUP = 0.2  # share of the epochs, so that a short training also has epochs after the warm-up
# Learning rate times updates. A test with 72 images learned at 0.02, but not at 0.002 (docs/log.md).
MIN_PROGRESS, GOOD_PROGRESS = 0.02, 0.1
GOOD_RATE = 1e-3
FEW_UPDATES = 500  # a training from random weights with fewer updates gets a warning
OPERATION_COUNTS = ("n", "w", "d")  # keys of timm's augmentation text for numbers and chains of operations
MAX_OPERATIONS, MAX_AUGMENTATION = 16, 999
OWN_VALUES = ("seed", "lr", "drop_path_rate")  # values that may differ between comparable trainings
MAX_VALUE = 1e6  # of numbers without an upper limit
MIN_POSITIVE = 1e-9  # so that powers and quotients are finite


class Number(NamedTuple):
    """The rule of a number: from `low` to `high`, or at most a million without `high`."""

    low: float
    high: float = math.inf
    whole: bool = False
    optional: bool = False

    def read(self, text: str) -> object:
        """Convert text to a number; return other text unchanged, which `validate` refuses."""
        try:
            return read_whole(text) if self.whole else read_number(text)
        except ValueError:
            return text.strip()

    def validate(self, name: str, value: Any) -> Any:
        """Return the value as int or float (or None); raise OptionError if it breaks the rule."""
        if value is None and self.optional:
            return None
        kind, is_open = "a whole number" if self.whole else "a number", math.isinf(self.high)
        fits = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        rule = None
        if not fits or isinstance(value, bool) or not self.low <= value <= self.high:
            rule = (
                f"{kind} of {self.low:g} or more" if is_open else f"{kind} from {self.low:g} to {self.high:g}"
            )
        elif is_open and value > MAX_VALUE:
            rule = f"{kind} of at most {MAX_VALUE:,.0f}"
        elif 0 < value < MIN_POSITIVE:
            rule = f"0, or {kind} of {MIN_POSITIVE:g} or more"
        if rule:
            raise OptionError(f"{name}={abbreviated(format_value(value))}: {rule}")
        return int(value) if self.whole else float(value)


class Pair(NamedTuple):
    """The rule of two numbers. If they need not rise, a single number is used twice."""

    each: Number
    rising: bool = False

    def read(self, text: str) -> object:
        """Convert numbers that are joined by a comma, or by `x` as in 224x192."""
        parts = [self.each.read(part) for part in text.replace("x", ",").split(",")]
        return parts if len(parts) > 1 else parts[0]

    def validate(self, name: str, value: object) -> tuple[Any, ...]:
        """Return the value as a pair; raise OptionError if it breaks the rule."""
        is_single = not isinstance(value, tuple | list)
        values = (value, value) if is_single else tuple(value)  # type: ignore[arg-type]
        if len(values) != 2 or (self.rising and is_single):
            raise OptionError(f"{name}={abbreviated(format_value(value))}: two numbers, such as {name}=0.5,1")
        pair = tuple(self.each.validate(name, one) for one in values)
        if self.rising and pair[0] > pair[1]:
            raise OptionError(f"{name}={format_value(value)}: the lower number first")
        return pair


class Text(NamedTuple):
    """The rule of a text: any text, one of the choices, or an augmentation of timm with bounded numbers."""

    choices: tuple[str, ...] = ()
    is_augmentation: bool = False

    def read(self, text: str) -> object:
        """Return the text."""
        return text

    def validate(self, name: str, value: object) -> str:
        """Return the text; raise OptionError if it breaks the rule."""
        if not isinstance(value, str):
            raise OptionError(f"{name}={abbreviated(format_value(value))}: a text")
        if self.choices and value not in self.choices:
            raise OptionError(f"{name}={abbreviated(value)} is not known: {nearest(value, self.choices)}")
        for key, number in re.findall(r"-([a-z]*)([^-]*)", value) if self.is_augmentation else ():
            if key.startswith("t"):  # its value is the name of a set of operations
                continue
            most = MAX_OPERATIONS if key in OPERATION_COUNTS else MAX_AUGMENTATION
            if not re.fullmatch(r"(\d{1,3}(\.\d{1,6})?)?", number, re.ASCII) or float(number or 0) > most:
                raise OptionError(f"{name}={abbreviated(value)}: {key} takes a number from 0 to {most}")
        return value


class Switch(NamedTuple):
    """The rule of a switch: true or false."""

    def read(self, text: str) -> object:
        """Convert `true` or `false`; return other text unchanged, which `validate` refuses."""
        return {"true": True, "false": False}.get(text.lower(), text)

    def validate(self, name: str, value: object) -> bool:
        """Return the bool; raise OptionError for other values."""
        if not isinstance(value, bool):
            raise OptionError(f"{name}={abbreviated(format_value(value))}: true or false")
        return value


Rule = Number | Pair | Text | Switch
COUNT, POSITIVE, SHARE = Number(1, whole=True), Number(0), Number(0, 1)


def setting(default: Any, rule: Rule, source: str) -> Any:
    """Declare a value of the recipe with its default, its rule, and the source of the default."""
    return field(default=default, metadata={"rule": rule, "source": source})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The hyperparameters of a training. Names are those of timm's train.py, defaults are for ImageNet-1k.

    Raises:
        OptionError: a value breaks its rule.
    """

    epochs: int = setting(300, COUNT, DEIT)
    batch_size: int = setting(  # images per step of one process
        128,
        Number(2, whole=True),  # batch statistics need two images
        "our decision (DeiT: 1024 in total); batch_size x processes x accumulate images form one update",
    )
    accumulate: int = setting(1, COUNT, DECISION)  # steps per update
    img_size: tuple[int, int] = setting((224, 224), Pair(Number(32, 2**14, whole=True)), DEIT)  # (H, W), px
    opt: str = setting("adamw", Text(), DEIT)
    lr: float | None = setting(  # None: lr_base, scaled by the images of an update
        None, Number(0, optional=True), "timm's train.py: lr_base x images per update / lr_base_size"
    )
    lr_base: float = setting(1e-3, POSITIVE, f"{DEIT}: 5e-4 for 512 images, which is 1e-3 for 1024")
    lr_base_size: int = setting(1024, COUNT, f"{DEIT}, see lr_base")
    weight_decay: float = setting(0.05, POSITIVE, DEIT)
    clip_grad: float = setting(  # norm of all gradients; 0: not clipped
        5.0,
        POSITIVE,
        "timm's published settings for its small models, after MobileNetV4's (DeiT clips nothing)",
    )
    sched: str = setting("cosine", Text(("cosine", "tanh", "poly")), DEIT)
    warmup_epochs: float = setting(5.0, POSITIVE, DEIT)
    warmup_lr: float = setting(1e-6, POSITIVE, DEIT_CODE)
    min_lr: float = setting(1e-5, POSITIVE, DEIT_CODE)
    smoothing: float = setting(0.1, Number(0, 0.99), DEIT)
    mixup: float = setting(0.8, POSITIVE, DEIT)
    cutmix: float = setting(1.0, POSITIVE, DEIT)
    mixup_prob: float = setting(1.0, SHARE, DEIT)
    mixup_switch_prob: float = setting(
        0.5, SHARE, "timm's Mixup: mixup and cutmix in half of the batches each"
    )
    aa: str = setting(  # empty: none
        "rand-m9-mstd0.5-inc1", Text(is_augmentation=True), f"{DEIT}: RandAugment 9/0.5, timm's text for it"
    )
    reprob: float = setting(0.25, SHARE, DEIT)
    color_jitter: float = setting(0.0, POSITIVE, "0, as timm does not combine it with RandAugment")
    scale: tuple[float, float] = setting(  # of the crop's area
        (0.08, 1.0), Pair(Number(0.001, 1), rising=True), INCEPTION_CROP
    )
    ratio: tuple[float, float] = setting(  # of the crop's sides
        (3 / 4, 4 / 3), Pair(Number(0.1, 10), rising=True), INCEPTION_CROP
    )
    hflip: float = setting(0.5, SHARE, "timm's create_transform")
    drop_path_rate: float | None = setting(  # None: the variant's own, else by size
        None,
        Number(0, 0.99, optional=True),
        "our decision by parameters: 0 up to 5 M, 0.05 up to 12 M, and DeiT's 0.1 above",
    )
    model_ema_decay: float = setting(  # 0: no moving average
        0.9998, Number(0, 0.999999), "our decision, near that of MobileNetV4 in timm (DeiT: 0.99996)"
    )
    model_ema_warmup: bool = setting(True, Switch(), "timm's ModelEmaV3")
    teacher_weight: float = setting(0.1, SHARE, "DeiT, section 5: lambda of soft distillation")
    teacher_temperature: float = setting(3.0, Number(0.01), "DeiT, section 5: tau of soft distillation")
    seed: int = setting(0, Number(0, 2**32 - 1, whole=True), DECISION)

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            object.__setattr__(self, name, rule.validate(name, getattr(self, name)))


RULES: dict[str, Rule] = {one.name: one.metadata["rule"] for one in fields(Recipe)}
SOURCES: dict[str, str] = {one.name: one.metadata["source"] for one in fields(Recipe)}


def resolve_recipe(recipe: Recipe, *, params: int, own_drop_path: float, processes: int) -> Recipe:
    """Return the recipe with its learning rate, its drop-path rate and a warm-up that is not too long.

    Args:
        recipe: the recipe.
        params: number of parameters of the network.
        own_drop_path: the drop-path rate in the variant's text; 0 without one.
        processes: number of processes that train together.
    """
    images = recipe.batch_size * recipe.accumulate * processes
    lr = recipe.lr_base * images / recipe.lr_base_size if recipe.lr is None else recipe.lr
    rate = recipe.drop_path_rate
    if rate is None:
        rate = own_drop_path or next(rate for limit, rate in DROP_PATH if params <= limit)
    warmup = min(recipe.warmup_epochs, MAX_WARMUP * recipe.epochs)
    return replace(recipe, lr=lr, drop_path_rate=rate, warmup_epochs=warmup)


def digest_recipe(recipe: Recipe, settings: Mapping[str, object]) -> str:
    """Return the first 12 hexadecimal digits of the hash of a recipe and the settings of a run.

    Trainings with equal digits are comparable. Seed, learning rate and drop-path rate are not part of the
    hash, because they may differ between models.
    """
    values = {name: value for name, value in asdict(recipe).items() if name not in OWN_VALUES}
    text = json.dumps([values, dict(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def advise(recipe: Recipe, resolved: Recipe, *, updates: int, few: int = FEW_UPDATES) -> str:
    """Return a warning if the training is too short to learn from random weights, else an empty text.

    A step of AdamW changes a weight by about the learning rate, so learning rate times steps bounds the
    total change of a weight.

    Args:
        recipe: the recipe as given.
        resolved: the recipe after `resolve_recipe`.
        updates: number of updates per epoch.
        few: minimum number of updates of the whole training.
    """
    steps, rate = updates * resolved.epochs, resolved.lr or 0.0
    is_slow = recipe.lr is None and rate * steps < MIN_PROGRESS
    if not is_slow and steps >= few:
        return ""
    epochs = math.ceil(max(few, GOOD_PROGRESS / GOOD_RATE) / updates)
    ways = [f"--lr {GOOD_RATE:g}"] * is_slow + [f"--epochs {epochs}"] * (epochs > resolved.epochs)
    tries = [" ".join(ways)] + ["a smaller --batch-size"] * (not is_slow)
    if recipe.mixup or recipe.cutmix or recipe.aa:  # the recipe for digits has no strong augmentation
        tries.append("--recipe digits (for few, small images)")
    at = f" at a learning rate of {rate:.2g} (lr_base x images per update / lr_base_size)" if is_slow else ""
    problem = "hardly change the network" if is_slow else "are few for a network with random weights"
    return f"{steps:,} updates{at} {problem}: try {', or '.join(tries)}"


def format_value(value: object) -> str:
    """Write a value as `--set` takes it: 0.5,1 for a pair."""
    if isinstance(value, tuple | list):
        return ",".join(format_value(one) for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
