"""Which fonts of this machine draw which characters, whatever matplotlib remembers of them."""

import functools
from collections.abc import Iterable

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from seq_models.messages import say

DEFAULT = "DejaVu Sans"  # comes with matplotlib


def families(texts: Iterable[str]) -> list[str]:
    """The names of as few fonts as draw all characters of some texts that any font does, the default one first."""
    chosen, _ = _chosen(_characters(texts))
    return [DEFAULT, *chosen]


def numbered(texts: Iterable[str]) -> dict[str, int]:
    """The texts with a character that no font draws, by the order they come in: text -> number, from 1."""
    texts = list(dict.fromkeys(texts))
    _, without = _chosen(_characters(texts))
    return {text: number for number, text in enumerate((t for t in texts if not without.isdisjoint(t)), start=1)}


def _characters(texts):
    """Those that the default font lacks, as a set."""
    known = font_manager.get_font(font_manager.findfont(DEFAULT)).get_charmap()
    return frozenset(c for c in frozenset().union(*texts) if c.isprintable() and ord(c) not in known)


@functools.lru_cache(maxsize=256)
def _chosen(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The fonts for characters, each time the one that draws most of the rest -> (names, what none of them draws)."""
    rest, names = characters, []
    while rest:
        path = max(_installed(), key=lambda path: len(_drawn_by(path, rest)), default="")
        if not (drawn := _drawn_by(path, rest)):
            _say_how_to_get_one("".join(sorted(rest)[:5]))
            break
        names.append(_registered(path))
        rest -= drawn
    return tuple(names), rest


@functools.cache
def _installed() -> list[str]:
    """The font files of this machine; of fonts that draw as much the first is taken, so no bold or slanted one."""
    return sorted(font_manager.findSystemFonts(), key=lambda path: (not path.lower().count("regular"), path))


@functools.lru_cache(maxsize=1024)
def _drawn_by(path: str, characters: frozenset[str]) -> frozenset[str]:
    """Those of some characters that a file draws."""
    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):  # not the file of a font
        return frozenset()
    # matplotlib draws no bitmaps, as those of emoji.
    return frozenset(c for c in characters if font.scalable and font.get_char_index(ord(c)))


def _registered(path: str) -> str:
    """The name by which matplotlib finds the font of a file."""
    if all(font.fname != path for font in font_manager.fontManager.ttflist):
        font_manager.fontManager.addfont(path)
    return FT2Font(path).family_name


_said: set[str] = set()


def _say_how_to_get_one(characters: str) -> None:
    """Once a process."""
    if not _said:
        _said.add(characters)
        say(
            f"no font of this machine draws {characters}: pictures show numbers instead of names, which TensorBoard "
            "lists as text; a font such as Noto Sans CJK, where it is installed (apt install fonts-noto-cjk), is used"
        )
