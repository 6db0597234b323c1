"""The schemes in which tags spell out entities: their rules from tag to tag, and the way from one scheme to another."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from seq_models.text.entities import CLOSING, LETTERS, OPENING, OUTSIDE, SCHEMES, scheme_of

AUTO, PLAIN = "auto", "plain"
CHOICES = (AUTO, PLAIN, *SCHEMES)
SHOWN = 5  # labels in a sentence


def scheme_inside(wanted: str, steps: list["Step"]) -> str | None:
    """The scheme that a model reads and writes labels in; None if they stay as they are.

    Args:
        wanted: One of `CHOICES`; "auto" is the scheme that most tags keep to, IOB1 being BIO, if all are tags of one.
        steps: Of the labels of the examples.
    Raises:
        ValueError: If a scheme is wanted and the labels are no tags of entities.
    """
    labels = {step.tag for step in steps} - {OUTSIDE}
    found, others = scheme_of(labels)
    fitting = found is not None and not others
    if wanted not in (AUTO, PLAIN) and not fitting:
        received = ", ".join(map(repr, (others or sorted(labels) or [OUTSIDE])[:SHOWN]))
        expected = f"scheme={wanted} needs tags of entities, all of one scheme, as B-PER and O"
        raise ValueError(f"{expected}. Received: {received}")
    if wanted == AUTO and fitting:
        closest, _ = misfits(steps)
        return closest if closest in SCHEMES else "BIO"
    return None if wanted in (AUTO, PLAIN) else wanted


def converted(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of any scheme -> those that spell out the same entities in one scheme.

    Entities are read as `seq_models.text.entities` says, so that tags that break the rules of their scheme become right
    ones. What is no tag of an entity stays.

    Example:
        >>> converted(["I-PER", "I-PER", "O", "I-LOC"], "BIOES")
        ['B-PER', 'E-PER', 'O', 'S-LOC']
    """
    begin, inside, end, single = list(_letters(scheme))
    spelled = {(True, False): begin, (False, False): inside, (False, True): end, (True, True): single}
    parts = [_part(tag) for tag in (OUTSIDE, *tags, OUTSIDE)]
    starts = [bool(after[0]) and _opens(before, after) for before, after in zip(parts, parts[1:], strict=False)]
    new = []
    for place, tag in enumerate(tags):
        letter, kind = parts[place + 1]
        ends = starts[place + 1] or not parts[place + 2][0]
        new.append(f"{spelled[starts[place], ends]}-{kind}" if letter else tag)
    return new


def respelled(tags: Iterable[str], scheme: str) -> set[str]:
    """Different tags of BIOES -> those that stand for them in another scheme, and O."""
    letters = dict(zip(_letters("BIOES"), _letters(scheme), strict=True))
    parts = ((tag, *_part(tag)) for tag in tags)
    return {f"{letters[letter]}-{kind}" if letter else tag for tag, letter, kind in parts} | {OUTSIDE}


def legal_transitions(labels: Sequence[str], scheme: str) -> list[list[int]]:
    """Whether one tag may come after another in a scheme: 0 or 1, (L + 1, L + 1).

    The last row is for the first tag of a sentence, the last column for the last one.
    """
    fits = _RULES[scheme]
    return [[int(fits(before, tag)) for tag in (*labels, OUTSIDE)] for before in (*labels, OUTSIDE)]


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


def steps_of(located: Iterable[tuple[Sequence[str], str]], before: Iterable[Step] = ()) -> list[Step]:
    """All different steps of sentences, each given as its tags and its place, and those of sentences before them."""
    found = {(step.before, step.tag): step for step in before}
    for tags, place in located:
        for number, pair in enumerate(zip([OUTSIDE, *tags], [*tags, OUTSIDE], strict=True), start=1):
            known = found.get(pair)
            found[pair] = known._replace(times=known.times + 1) if known else Step(*pair, place, number, 1)
    return list(found.values())


def misfits(steps: list[Step]) -> tuple[str, list[Step]]:
    """The scheme that most steps keep to, and the steps that do not, in the order in which they come.

    The scheme is "" where the tags are those of none.
    """
    if scheme_of(tag for step in steps for tag in (step.before, step.tag))[0] is None:
        return "", []
    rules = {"IOB2": _iob2, "IOB1": _iob1} | {name: rule for name, rule in _RULES.items() if name != "BIO"}
    broken = {name: [step for step in steps if not _keeps_to(step, name, fits)] for name, fits in rules.items()}
    counts = {name: sum(step.times for step in found) for name, found in broken.items()}
    best = min(counts, key=counts.__getitem__)
    return best, broken[best]


def _keeps_to(step, name, fits):
    letter, _ = _part(step.tag)
    return (step.tag == OUTSIDE or letter and letter in SCHEMES.get(name, SCHEMES["BIO"])) and fits(
        step.before, step.tag
    )


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


_RULES = {name: _iob2 if name == "BIO" else _closed for name in SCHEMES}


def _letters(scheme: str) -> str:
    """For the first token of an entity, those inside of it, its last one, and for its only one."""
    letters = SCHEMES[scheme]
    return letters if len(letters) == 4 else letters + letters[::-1]


def _part(tag: str) -> tuple[str, str]:
    """The letter and the type of a tag of an entity, else two empty strings."""
    letter, _, kind = tag.partition("-")
    return (letter, kind) if kind and len(letter) == 1 and letter in LETTERS else ("", "")


def _opens(before: tuple[str, str], after: tuple[str, str]) -> bool:
    """Whether an entity starts at a tag of one, after another tag."""
    return after[0] in OPENING or before[1] != after[1] or before[0] in CLOSING
