"""Messages of programs as sentences: without keyboard accelerators and markup, and only where words remain."""

import html
import re

from tasks.translation.data.text import Pair, normalized

MIN_WORDS = 2

# What a program puts values into: %s, %(name)s, %1, %-5.2f; {name}, {0!r}; {{ name }}, {% tag %}; ${name}; $name.
FORMAT = re.compile(r"%(\(\w+\))?[-+#0]*\d*(\.\d+)?[a-zA-Z]|%\d|%%|[{}]|\$\w")
BLOCK = re.compile(r"</?(br|p|li|ul|ol|h\d|div)\b[^<>]*>", re.IGNORECASE)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Markup without tags: ReST roles, literals and links; Markdown's links and code; addresses; names with underscores.
SIGNS = re.compile(r"`|:\w+:|\]\(|\*\*|[<>\\|=§]|https?:|\w_\w|__")
ENTITY = re.compile(r"&(#\d+|#x[0-9a-fA-F]+|\w+);")
# "&File", "E&xit", "Save _As": one sign before the letter. "R&D" has capitals on both sides, "A & B" has spaces.
AMPERSAND = re.compile(r"(?<![A-Z&])&(?=\w)|(?<=[A-Z])&(?=[a-z])")
UNDERSCORE = re.compile(r"(?<!\w)_(?=\w)")


def cleaned(message: str, translation: str) -> Pair | None:
    """The message and its translation as plain text; None where they are not language.

    Left out are messages with format strings, whose values are missing, or with markup other than tags; of fewer than
    two words; and those whose translation is the same text.
    """
    pair = Pair(_plain(message), _plain(translation))
    for text in pair:
        if FORMAT.search(text) or SIGNS.search(text) or not _letters(text):
            return None
    if len(re.findall(r"\w+", pair.source)) < MIN_WORDS or pair.source.casefold() == pair.target.casefold():
        return None
    return pair


def _plain(text: str) -> str:
    text = TAG.sub("", BLOCK.sub(" ", text))
    text = ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return normalized(UNDERSCORE.sub("", AMPERSAND.sub("", text)))


def _letters(text: str) -> bool:
    """Whether letters are at least half of the text, spaces counted with them."""
    letters = sum(character.isalpha() or character.isspace() for character in text)
    return letters >= max(1, len(text) / 2)
