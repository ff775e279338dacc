"""Which training it is, apart from its recipe."""

from dataclasses import dataclass

from saevit.errors import OptionError

MOST_EPOCHS = 10**6


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, apart from its recipe; paths are as `saevit.files.as_text` writes them.

    Raises:
        OptionError: a value that cannot be, with the rule.
    """

    model: str  # a variant's text, or timm:NAME
    data: str  # as `open_data` takes it
    data_dir: str | None = None
    teacher: str | None = None
    teacher_checkpoint: str | None = None
    amp: str = "none"
    channels_last: bool = True
    compile: bool = False
    grad_checkpointing: bool = False
    val_every: int = 1  # epochs

    def __post_init__(self) -> None:
        if not 1 <= self.val_every <= MOST_EPOCHS:
            raise OptionError(f"val_every={self.val_every}: a whole number from 1 to {MOST_EPOCHS:,}")
