"""Options as typed classes: of each field its default, its bounds and a line on what it means.

What reads options from outside (the command line, a configuration file) and what explains them (its help, its errors)
asks the class; nothing is said twice.
"""

import math
from collections.abc import Collection
from dataclasses import Field, dataclass, field, fields
from types import UnionType
from typing import Any, Self, get_args

KINDS = {bool: "True or False", int: "an integer", float: "a number", str: "a string"}


def option(default: Any, meaning: str, choices: Collection[str] | None = None, **bounds: float) -> Any:
    """A field of an `Options` class.

    Args:
        default: Its value when nothing is said. A field that may be None has the type `… | None`.
        meaning: One line on what it does.
        choices: The values that it may have; what is added to them later is one of them too.
        bounds: Of a number: `at_least`, `above`, `below`.
    """
    in_words = {word.replace("_", " "): bound for word, bound in bounds.items()}
    return field(default=default, metadata={"meaning": meaning, "bounds": in_words, "choices": choices})


@dataclass(frozen=True)
class Options:
    """Checks its fields when it is made.

    Raises:
        ValueError: If a value is not of the type of its field, or outside of its bounds; names the field.
    """

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            if not allowed(item, value):
                raise ValueError(f"{item.name} must be {expected(item)}. Received: {item.name}={value!r}")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(item.name for item in fields(cls))

    def written(self) -> dict[str, Any]:
        """The values by name as a configuration file holds them: without those that are None."""
        return {name: getattr(self, name) for name in self.names() if getattr(self, name) is not None}

    @classmethod
    def split(cls, values: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Values by name -> the options of this class, and the values that are none of it."""
        own = {name: values[name] for name in values if name in cls.names()}
        return cls(**own), {name: values[name] for name in values if name not in own}


def allowed(item: Field, value: Any) -> bool:
    """Whether a field may have a value."""
    kind, optional = _kind(item)
    if value is None:
        return optional
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or kind is float and not math.isfinite(value):
        return False
    choices = item.metadata["choices"]
    if choices is not None:
        return value in choices
    holds = {"at least": kind.__ge__, "above": kind.__gt__, "below": kind.__lt__}
    return all(holds[word](value, kind(bound)) for word, bound in item.metadata["bounds"].items())


def expected(item: Field) -> str:
    """What a field may be, as a sentence goes on after "must be"."""
    kind, optional = _kind(item)
    choices, bounds = item.metadata["choices"], item.metadata["bounds"]
    if choices is not None:
        said = f"one of {', '.join(choices)}"
    elif bounds == {"at least": 1} and kind is int:
        said = "a positive integer"
    else:
        said = " ".join([KINDS[kind], " and ".join(f"{word} {bound:g}" for word, bound in bounds.items())]).strip()
    return f"{said}, or None" if optional else said


def _kind(item: Field) -> tuple[Any, bool]:
    """The type of a field, and whether it may be None."""
    optional = isinstance(item.type, UnionType)
    return get_args(item.type)[0] if optional else item.type, optional
