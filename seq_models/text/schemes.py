"""Whether the tags of entities keep to the rules of one scheme, from one tag to the next."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from seq_models.text.entities import OUTSIDE, scheme_of


class Step(NamedTuple):
    """Two tags one after the other, or a last one and O.

    Attributes:
        before, tag: The tags.
        place: Where their sentence stands, the first time.
        number: That of the tag there, from 1.
        times: How often they come.
    """

    before: str
    tag: str
    place: str
    number: int
    times: int


def steps_of(located: Iterable[tuple[list[str], str]]) -> list[Step]:
    """All different steps of sentences, each given as its tags and its place."""
    found: dict[tuple[str, str], Step] = {}
    for tags, place in located:
        for number, pair in enumerate(zip([OUTSIDE, *tags], [*tags, OUTSIDE], strict=True), start=1):
            known = found.get(pair)
            found[pair] = known._replace(times=known.times + 1) if known else Step(*pair, place, number, 1)
    return list(found.values())


def misfits(steps: list[Step]) -> tuple[str, list[Step]]:
    """The scheme that most steps keep to, and the steps that do not, in the order in which they come.

    The scheme is "" where the tags are those of none.
    """
    name, others = scheme_of(tag for step in steps for tag in (step.before, step.tag))
    if name is None:
        return "", []
    rules = {"IOB2": _iob2, "IOB1": _iob1} if name == "BIO" else {name: _closed}
    broken = {rule: [s for s in steps if s.tag in others or not fits(s.before, s.tag)] for rule, fits in rules.items()}
    counts = {rule: sum(step.times for step in found) for rule, found in broken.items()}
    best = min(counts, key=counts.__getitem__)
    return best, broken[best]


def _parts(before: str, tag: str) -> Iterator[tuple[str, str]]:
    """The letter and the type of both."""
    for each in (before, tag):
        letter, _, kind = each.partition("-")
        yield letter, kind


def _iob2(before: str, tag: str) -> bool:
    """An entity begins with B: before I comes B or I of its type."""
    (_, kind_before), (letter, kind) = _parts(before, tag)
    return letter != "I" or kind == kind_before


def _iob1(before: str, tag: str) -> bool:
    """B only parts two entities of a type: before it comes one of its type."""
    (_, kind_before), (letter, kind) = _parts(before, tag)
    return letter != "B" or kind == kind_before


def _closed(before: str, tag: str) -> bool:
    """What B opens goes on until it is closed, and nothing else goes on."""
    (letter_before, kind_before), (letter, kind) = _parts(before, tag)
    goes_on = letter in ("I", "M", "E", "L")
    return goes_on == (letter_before in ("B", "I", "M")) and (not goes_on or kind == kind_before)
