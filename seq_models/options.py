"""Options as typed classes: of each field its default, its bounds and a line on what it means.

What reads options from outside (the command line, a configuration file) and what explains them (its help, its errors,
its template of a file) asks the class; nothing is said twice.
"""

import difflib
import math
import numbers
from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from types import UnionType
from typing import Any, get_args

KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
NUMBERS = {int: numbers.Integral, float: numbers.Real}  # NumPy's are among them


def option(
    default: Any, meaning: str, choices: Collection[str] | None = None, operational: bool = False, **bounds: float
) -> Any:
    """A field of an `Options` class.

    Args:
        default: Its value when nothing is said. A field that may be None has the type `… | None` and the default None.
        meaning: One line on what it does.
        choices: The values that it may have; what is added to them later is one of them too.
        operational: Whether a run may go on with another value of it, since no step of its training would be another.
        bounds: Of a number: `at_least`, `above`, `below`.
    """
    in_words = {word.replace("_", " "): bound for word, bound in bounds.items()}
    metadata = {"meaning": meaning, "bounds": in_words, "choices": choices, "operational": operational}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """Checks its fields when it is made; numbers become plain ones of the type of the field.

    Raises:
        ValueError: If a value is not of the type of its field, or outside of its bounds; names the field.
    """

    def __post_init__(self):
        for item in fields(self):
            received = getattr(self, item.name)
            value = plain(received, kind_of(item))
            if not allowed(item, value):
                raise ValueError(f"{item.name} must be {expected(item)}. Received: {item.name}={received!r}")
            object.__setattr__(self, item.name, value)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(item.name for item in fields(cls))

    @classmethod
    def operational(cls) -> set[str]:
        """The names of those that a run may go on with other values of."""
        return {item.name for item in fields(cls) if item.metadata["operational"]}

    def written(self) -> dict[str, Any]:
        """The values by name as a configuration file holds them: without those that are None."""
        return {name: getattr(self, name) for name in self.names() if getattr(self, name) is not None}


def grouped(values: Mapping[str, Any], groups: Mapping[str, type[Options]]) -> dict[str, dict[str, Any]]:
    """Values by name -> for each group the values of its options.

    Args:
        values: Options by name.
        groups: Classes of options; no two of them have an option of the same name.
    Raises:
        ValueError: If a name is that of no option; lists those of all groups that are close to it.
    """
    places = {name: group for group, options in groups.items() for name in options.names()}
    for name, value in values.items():
        if name not in places:
            close = difflib.get_close_matches(name.lower(), places) or places
            known = ", ".join(f"{option} ({places[option]})" for option in close)
            raise ValueError(f"{name} must be the name of an option, as {known}. Received: {name}={value!r}")
    return {group: {name: value for name, value in values.items() if places[name] == group} for group in groups}


def plain(value: Any, kind: type) -> Any:
    """A number of any sort as the number of a kind, if it is one; else the value as it is."""
    if isinstance(value, bool) or not isinstance(value, NUMBERS.get(kind, ())):
        return value
    try:
        return kind(value)
    except OverflowError:  # an integer that is larger than any float
        return value


def allowed(item: Field, value: Any) -> bool:
    """Whether a field may have a value."""
    kind, choices = kind_of(item), item.metadata["choices"]
    if value is None:
        return is_optional(item)
    if type(value) is not kind or kind is float and not math.isfinite(value):
        return False
    if choices is not None:
        return value in choices
    holds = {"at least": kind.__ge__, "above": kind.__gt__, "below": kind.__lt__}
    return all(holds[word](value, kind(bound)) for word, bound in item.metadata["bounds"].items())


def expected(item: Field) -> str:
    """What a field may be, as a sentence goes on after "must be"."""
    kind, choices, bounds = kind_of(item), item.metadata["choices"], item.metadata["bounds"]
    if choices is not None:
        said = f"one of {', '.join(choices)}"
    elif bounds == {"at least": 1} and kind is int:
        said = "a positive integer"
    else:
        said = " ".join([KINDS[kind], " and ".join(f"{word} {bound:.10g}" for word, bound in bounds.items())]).strip()
    return f"{said}, or None" if is_optional(item) else said


def kind_of(item: Field) -> Any:
    """The type of a field, of one that may be None the other one."""
    return get_args(item.type)[0] if is_optional(item) else item.type


def is_optional(item: Field) -> bool:
    """Whether a field may be None."""
    return isinstance(item.type, UnionType)
