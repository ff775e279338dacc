"""Recipes: every value of a training, where it is from, and what it may be."""

import math
import re
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from saevit.errors import OptionError, nearest
from saevit.text import abbreviated

DEIT = "DeiT, arXiv 2012.12877, table 9"
DECISION = "our decision"
DROP_PATH = ((5e6, 0.0), (12e6, 0.05), (math.inf, 0.1))  # up to this many parameters, this rate
LARGEST_WARMUP = 0.2  # of all epochs, so that a short trial learns too
# Learning rate times updates; of 72 images nothing was learned at 0.002, and something at 0.02 (docs/log.md).
LEAST_MOVED, ENOUGH_MOVED = 0.02, 0.1
GOOD_RATE = 1e-3
COUNTS = ("n", "w", "d")  # in timm's texts for augmentations: how many operations, or chains of them
MOST_OPERATIONS, MOST_OTHERS = 16, 999
MOST = 1e6  # of any value that has no lower limit of its own
TINY = 1e-9  # nearest to 0 but 0 itself, so that powers and quotients stay finite


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; names as in timm's train.py. The defaults are for ImageNet-1k (see SOURCES).

    Raises:
        OptionError: a value that cannot be, with the rule.
    """

    epochs: int = 300
    batch_size: int = 128  # images a step of one process
    accumulate: int = 1  # steps an update
    img_size: tuple[int, int] = (224, 224)  # (H, W), px
    opt: str = "adamw"
    lr: float | None = None  # None: lr_base, scaled by the images of an update
    lr_base: float = 1e-3
    lr_base_size: int = 1024
    weight_decay: float = 0.05
    clip_grad: float = 5.0  # norm of all gradients; 0: not clipped
    sched: str = "cosine"
    warmup_epochs: float = 5.0
    warmup_lr: float = 1e-6
    min_lr: float = 1e-5
    smoothing: float = 0.1
    mixup: float = 0.8
    cutmix: float = 1.0
    mixup_prob: float = 1.0
    mixup_switch_prob: float = 0.5
    aa: str = "rand-m9-mstd0.5-inc1"  # empty: none
    reprob: float = 0.25
    color_jitter: float = 0.0
    scale: tuple[float, float] = (0.08, 1.0)  # of the crop's area
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # of the crop's sides
    hflip: float = 0.5
    drop_path_rate: float | None = None  # None: the variant's own, else by size (see DROP_PATH)
    model_ema_decay: float = 0.9998  # 0: no moving average
    model_ema_warmup: bool = True
    teacher_weight: float = 0.1
    teacher_temperature: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            object.__setattr__(self, name, rule.checked(name, getattr(self, name)))


class Number(NamedTuple):
    """A number in [low, high], at most a million where it has no upper limit."""

    low: float
    high: float = math.inf
    whole: bool = False
    optional: bool = False

    def checked(self, name: str, value: Any) -> Any:
        """Return the value, or say what it may be."""
        if value is None and self.optional:
            return None
        kind = "a whole number" if self.whole else "a number"
        span = f"{kind} of {self.low:g} or more" if math.isinf(self.high) else self.span(kind)
        fits = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        if not fits or isinstance(value, bool) or not self.low <= value <= self.high:
            raise OptionError(f"{name}={abbreviated(shown(value))}: {span}")
        if math.isinf(self.high) and value > MOST:
            raise OptionError(f"{name}={abbreviated(shown(value))}: {kind} of at most {MOST:,.0f}")
        if 0 < value < TINY:
            raise OptionError(f"{name}={shown(value)}: 0, or {kind} of {TINY:g} or more")
        return int(value) if self.whole else float(value)

    def span(self, kind: str) -> str:
        """Say between what."""
        return f"{kind} from {self.low:g} to {self.high:g}"


class Pair(NamedTuple):
    """Two numbers; one alone stands for both, where that makes sense."""

    each: Number
    rising: bool = False

    def checked(self, name: str, value: object) -> tuple[Any, ...]:
        """Return the pair, or say what it may be."""
        values = tuple(value) if isinstance(value, tuple | list) else (value, value)
        if len(values) != 2 or (self.rising and not isinstance(value, tuple | list)):
            raise OptionError(f"{name}={abbreviated(shown(value))}: two numbers, such as {name}=0.5,1")
        found = tuple(self.each.checked(name, one) for one in values)
        if self.rising and found[0] > found[1]:
            raise OptionError(f"{name}={shown(value)}: the lower number first")
        return found


class Text(NamedTuple):
    """One of some words, or any where none are named."""

    choices: tuple[str, ...] = ()

    def checked(self, name: str, value: object) -> str:
        """Return the word, or say what it may be."""
        if not isinstance(value, str):
            raise OptionError(f"{name}={abbreviated(shown(value))}: a text")
        if self.choices and value not in self.choices:
            raise OptionError(f"{name}={abbreviated(value)} is not known: {nearest(value, self.choices)}")
        return value


class Augmentation(NamedTuple):
    """timm's text for RandAugment or one of its kind, with bounded numbers; empty: none."""

    def checked(self, name: str, value: object) -> str:
        """Return the text, or say what it may be."""
        text = Text().checked(name, value)
        for key, number in re.findall(r"-([a-z]*)([^-]*)", text):
            if key.startswith("t"):  # the name of a set of operations
                continue
            most = MOST_OPERATIONS if key in COUNTS else MOST_OTHERS
            if not re.fullmatch(r"(\d{1,3}(\.\d{1,6})?)?", number, re.ASCII) or float(number or 0) > most:
                raise OptionError(f"{name}={abbreviated(text)}: {key} takes a number from 0 to {most}")
        return text


class Switch(NamedTuple):
    """True or false."""

    def checked(self, name: str, value: object) -> bool:
        """Return the switch, or say what it may be."""
        if not isinstance(value, bool):
            raise OptionError(f"{name}={abbreviated(shown(value))}: true or false")
        return value


Rule = Number | Pair | Text | Augmentation | Switch
SHARE = Number(0, 1)
RULES: dict[str, Rule] = {
    "epochs": Number(1, whole=True),
    "batch_size": Number(2, whole=True),  # batch statistics of one image are none
    "accumulate": Number(1, whole=True),
    "img_size": Pair(Number(32, 2**14, whole=True)),
    "opt": Text(),
    "lr": Number(0, optional=True),
    "lr_base": Number(0),
    "lr_base_size": Number(1, whole=True),
    "weight_decay": Number(0),
    "clip_grad": Number(0),
    "sched": Text(("cosine", "tanh", "poly")),
    "warmup_epochs": Number(0),
    "warmup_lr": Number(0),
    "min_lr": Number(0),
    "smoothing": Number(0, 0.99),
    "mixup": Number(0),
    "cutmix": Number(0),
    "mixup_prob": SHARE,
    "mixup_switch_prob": SHARE,
    "aa": Augmentation(),
    "reprob": SHARE,
    "color_jitter": Number(0),
    "scale": Pair(Number(0.001, 1), rising=True),
    "ratio": Pair(Number(0.1, 10), rising=True),
    "hflip": SHARE,
    "drop_path_rate": Number(0, 0.99, optional=True),
    "model_ema_decay": Number(0, 0.999999),
    "model_ema_warmup": Switch(),
    "teacher_weight": SHARE,
    "teacher_temperature": Number(0.01),
    "seed": Number(0, 2**32 - 1, whole=True),
}
SOURCES: dict[str, str] = {
    "epochs": DEIT,
    "batch_size": "DeiT uses 1024 over all processes; this times processes and accumulate is one update",
    "accumulate": DECISION,
    "img_size": DEIT,
    "opt": DEIT,
    "lr": "timm's train.py: lr_base x images of an update / lr_base_size, unless set",
    "lr_base": f"{DEIT}: 5e-4 for 512 images, which is 1e-3 for 1024",
    "lr_base_size": f"{DEIT}, see lr_base",
    "weight_decay": DEIT,
    "clip_grad": "timm's published settings for its small models, after MobileNetV4's (DeiT clips nothing)",
    "sched": DEIT,
    "warmup_epochs": DEIT,
    "warmup_lr": "DeiT's published code",
    "min_lr": "DeiT's published code",
    "smoothing": DEIT,
    "mixup": DEIT,
    "cutmix": DEIT,
    "mixup_prob": DEIT,
    "mixup_switch_prob": "timm's Mixup: half of the batches each",
    "aa": f"{DEIT}: RandAugment 9/0.5, timm's text for it",
    "reprob": DEIT,
    "color_jitter": "none, as timm leaves it out beside RandAugment",
    "scale": "timm's create_transform, Inception's crop (arXiv 1409.4842)",
    "ratio": "timm's create_transform, Inception's crop (arXiv 1409.4842)",
    "hflip": "timm's create_transform",
    "drop_path_rate": "our decision by parameters: none to 5 M, 0.05 to 12 M, then DeiT's 0.1",
    "model_ema_decay": "our decision, near MobileNetV4's in timm (DeiT 0.99996)",
    "model_ema_warmup": "timm's ModelEmaV3",
    "teacher_weight": "DeiT, section 5: lambda of soft distillation",
    "teacher_temperature": "DeiT, section 5: tau of soft distillation",
    "seed": DECISION,
}
FIELDS = tuple(field.name for field in fields(Recipe))


def effective(recipe: Recipe, *, params: int, own_drop_path: float, processes: int) -> Recipe:
    """Return the recipe with nothing left open: learning rate, drop-path rate, a warm-up that fits.

    Args:
        recipe: as the user chose it.
        params: parameters of the network.
        own_drop_path: the rate that the variant itself names; 0 is none.
        processes: that train together.
    """
    images = recipe.batch_size * recipe.accumulate * processes
    lr = recipe.lr_base * images / recipe.lr_base_size if recipe.lr is None else recipe.lr
    rate = recipe.drop_path_rate
    if rate is None:
        rate = own_drop_path or next(rate for limit, rate in DROP_PATH if params <= limit)
    warmup = min(recipe.warmup_epochs, LARGEST_WARMUP * recipe.epochs)
    return replace(recipe, lr=lr, drop_path_rate=rate, warmup_epochs=warmup)


def advice(recipe: Recipe, closed: Recipe, *, updates: int) -> str:
    """Say what fits better if the learning rate that follows from the batch moves nothing; else nothing.

    A step of AdamW moves a weight by about the learning rate, so rate times steps bounds what it can learn.

    Args:
        recipe: as the user chose it.
        closed: the same, with nothing left open.
        updates: of an epoch.
    """
    steps, rate = updates * closed.epochs, closed.lr or 0.0
    if recipe.lr is not None or rate * steps >= LEAST_MOVED:
        return ""
    epochs = -(-math.ceil(ENOUGH_MOVED / GOOD_RATE) // updates)
    more = f" --epochs {epochs}" if epochs > closed.epochs else ""
    return (
        f"{steps:,} updates at a learning rate of {rate:.2g} ({recipe.lr_base:g} for {recipe.lr_base_size:,} "
        f"images, scaled to those of an update) teach next to nothing: try --lr {GOOD_RATE:g}{more}, or "
        "--recipe digits, which is for small images"
    )


def shown(value: object) -> str:
    """Write a value as it is typed: 0.5,1 for a pair."""
    if isinstance(value, tuple | list):
        return ",".join(shown(one) for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
