"""Networks of the caller, named `module:factory`: a function without arguments that returns a network.

The attribute may also be a network instead of a function.
"""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saevit.errors import MeasureError, OptionError, name_and_line, nearest

if TYPE_CHECKING:
    from torch import nn

PREFIX = ""  # any module, so a text has no prefix of its own
EXAMPLES = ("my_package.models:make_net", "torchvision.models:resnet18")
NUM_CLASSES = 1000
FORM = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*", re.ASCII)


def is_factory(text: str) -> bool:
    """Return whether a text has the form `module:factory`. Nothing is imported."""
    return FORM.fullmatch(text) is not None


def build_for_inference(
    name: str, img_size: tuple[int, int], *, num_classes: int = NUM_CLASSES
) -> "nn.Module":
    """Return what the factory returns, in eval mode; size and classes are the factory's own business.

    Raises:
        OptionError: there is no such module or factory, it needs arguments, or it returns something else.
        MeasureError: the module or the factory fails, in one line.
    """
    from torch import nn

    factory = find_factory(name)
    if num_classes != NUM_CLASSES:
        raise OptionError(f"classes cannot be set on {name}: set the number of classes in the factory")
    try:
        network = factory if isinstance(factory, nn.Module) else factory()
    except (Exception, SystemExit) as error:  # any that the caller's own code raises
        raise MeasureError(f"{name} failed: {name_and_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise OptionError(f"{name} returns an object of type {type(network).__name__}, not a torch.nn.Module")
    return network.eval()


def find_factory(name: str) -> Any:
    """Import the module, from the current folder too, and return the factory.

    Raises:
        OptionError: there is no such module or factory, or it needs arguments.
        MeasureError: the module cannot be imported, in one line.
    """
    path, _, attribute = name.partition(":")
    module = import_from_here(path)
    if not hasattr(module, attribute):
        names = [known for known, value in vars(module).items() if callable(value)]
        known = nearest(attribute, names) if names else "it has no functions"
        raise OptionError(f"module {path} has no {attribute!r}: {known}")
    factory = getattr(module, attribute)
    if not callable(factory):
        raise OptionError(f"{name} is an object of type {type(factory).__name__}, not a function")
    if needed := list_needed(factory):
        raise OptionError(
            f"{name} needs arguments ({', '.join(needed)}): write a function without arguments that calls it"
        )
    return factory


def list_needed(factory: Any) -> list[str]:
    """Return the parameters that a call has to give."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # a function of C does not say
        return []
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in several]


def import_from_here(path: str) -> Any:
    """Import a module that is installed or in the current folder."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as for `python -m`
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise MeasureError(f"module {path} cannot be imported: {name_and_line(error)}") from error
        raise OptionError(
            f"there is no module {error.name!r}: it is neither installed nor in the current folder"
        ) from error
    except (Exception, SystemExit) as error:  # any that the caller's own code raises
        raise MeasureError(f"module {path} cannot be imported: {name_and_line(error)}") from error


def list_names() -> list[str]:
    """Return no names: the factories of all modules cannot be listed."""
    return []


def check_model(name: str) -> None:
    """Refuse a name that has no factory, or one that needs arguments."""
    find_factory(name)


def name_architecture(name: str) -> str:
    """Return a name without what only chooses weights: that is all of it."""
    return name


def describe_source(num_classes: int = NUM_CLASSES) -> str:
    """Return one line on what these models are."""
    return "the network as its factory returns it, neither folded nor re-parameterised"
