"""Data to be scored on beside the data that a model is trained on: what both have, and what the latter lacks."""

from collections.abc import Iterator

from seq_models.text.checks import Item, label_counts, places_of, plural, sides_of


def compared(items: list[Item], others: list[Item]) -> dict[str, float]:
    """Counts of the others and shares of them.

    Returns:
        Their examples and tokens, the share of their tokens that the items do not have ("unknown tokens", of a pair by
        side), and how many of them have the texts of an item, whatever its labels ("shared examples").
    """
    found: dict[str, float] = {"examples": len(others)}
    for (name, _, known), (_, _, tokens) in zip(sides_of(items), sides_of(others), strict=True):
        side = "" if name == "text" else f"{name} "
        seen = {token for row in known for token in row}
        unknown = sum(token not in seen for row in tokens for token in row)
        total = sum(map(len, tokens))
        found |= {f"{side}tokens": total, f"unknown {side}tokens": unknown / max(total, 1)}
    return {**found, "shared examples": len(_shared(items, others))}


def unlike(items: list[Item], others: list[Item]) -> Iterator[str]:
    """Warnings of others that a score would not be right on."""
    if shared := _shared(items, others):
        number = plural(len(shared), "example to be scored on is", "examples to be scored on are")
        yield f"{number} in the data too, so that scores promise too much {places_of(shared)}."
    known = label_counts(items)
    missing = [item for item in others if not known.keys() >= set(item.labels)]
    if missing:
        labels = label_counts(missing)
        unseen = sorted(label for label in labels if label not in known)
        number = plural(len(missing), "example to be scored on has", "examples to be scored on have")
        yield f"{number} labels that the data has not, as {unseen[0]!r} {places_of(missing)}."


def _shared(items, others):
    seen = {item.texts for item in items}
    return [item for item in others if item.texts in seen]
