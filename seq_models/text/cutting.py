"""What is cut off counts, and is said."""

from collections.abc import Mapping

from seq_models.messages import say


def say_cut(lengths: Mapping[int, int], max_length: int, texts: str = "texts") -> None:
    """Says how many texts are longer than what is read of one; nothing if none is.

    Args:
        lengths: How many texts have so many tokens, the end token included.
        max_length: The largest number of tokens that is read.
        texts: What they are called.
    """
    number = sum(count for length, count in lengths.items() if length > max_length)
    if number:
        say(
            f"{number:,} of {sum(lengths.values()):,} {texts} are cut to max_length={max_length} tokens, the end token "
            f"included; the longest has {max(lengths):,}"
        )
