"""Word pieces: a vocabulary of parts of words, learned from how often words are there."""

from collections import Counter
from collections.abc import Iterator, Mapping

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import CharDelimiterSplit
from tokenizers.trainers import WordPieceTrainer

INNER = "##"  # before a piece that does not begin a word
BETWEEN = "\x1f"  # two words
AT_ONCE = 65_536  # characters that the trainer is given


def learn_wordpieces(counts: Mapping[str, int], size: int, reserved: tuple[str, ...], min_count: int = 2) -> list[str]:
    """Word pieces by the trainer of the library `tokenizers`, the same for the same counts.

    It begins with letters and joins the two pieces that stand most often beside each other into one, again and again
    [1], until there are enough. Of letters the most frequent ones are pieces; a word with another one is unknown.

    Args:
        counts: How often each word is there.
        size: The largest number of pieces, the reserved ones included.
        reserved: Pieces that come first, whatever the words are.
        min_count: How often a piece of several letters must be seen.
    Returns:
        The pieces: the reserved ones, letters, the others as they were found.
    References:
        [1] Sennrich, Haddow and Birch 2016 (arXiv:1508.07909), section 3.2; Schuster and Nakajima 2012.
    """
    letters = _letters(counts, size - len(reserved))
    known = {form[-1] for form in letters}
    kept = {word: count for word, count in counts.items() if known.issuperset(word)}
    tokenizer = Tokenizer(WordPiece(unk_token=reserved[0]))
    tokenizer.pre_tokenizer = CharDelimiterSplit(BETWEEN)
    # It numbers letters as it meets them, in another order every time, but those first that it is told of.
    trainer = WordPieceTrainer(
        vocab_size=size, min_frequency=min_count, special_tokens=[*reserved, *letters], show_progress=False
    )
    tokenizer.train_from_iterator(_repeated(kept), trainer)
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def _letters(counts, most):
    """The most frequent letters of words, in the order of their code points: first as they are, then within words."""
    total: Counter[str] = Counter()
    inner: set[str] = set()
    for word, count in counts.items():
        for letter in word:
            total[letter] += count
        inner.update(word[1:])
    kept: list[str] = []
    for letter, _ in sorted(total.items(), key=lambda item: (-item[1], item[0])):
        forms = [letter, INNER + letter] if letter in inner else [letter]
        if len(kept) + len(forms) > most:
            break
        kept += forms
    return sorted(kept, key=lambda form: (len(form), form))


def _repeated(counts: Mapping[str, int]) -> Iterator[str]:
    """Each word as often as it is there, in texts of some length."""
    for word in sorted(counts):
        once, count = word + BETWEEN, counts[word]
        while count:
            some = min(count, max(AT_ONCE // len(once), 1))
            yield once * some
            count -= some
