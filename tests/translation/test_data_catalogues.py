"""Sentences out of gettext catalogues: what is read, what is cleaned and what is left out."""

from pathlib import Path

import polib
import pytest
from catalogue_text import PACKAGES, messages

from shiftaddnas.errors import UserError
from tasks.translation.data.catalogue_cleaning import cleaned
from tasks.translation.data.catalogues import Catalogues
from tasks.translation.data.split import split


@pytest.mark.parametrize(
    ("message", "translation", "expected"),
    [
        ("Save &As", "Speichern &unter", ("Save As", "Speichern unter")),
        ("E&xit now", "_Jetzt beenden", ("Exit now", "Jetzt beenden")),
        ("Save &copy here", "Kopie hier speichern", ("Save copy here", "Kopie hier speichern")),
        ("Q&A and R&D", "F&A und F&E", ("Q&A and R&D", "F&A und F&E")),
        ("Copy & paste", "Kopieren & einfügen", ("Copy & paste", "Kopieren & einfügen")),
        ("Terms &amp; <b>rules</b>", "Regeln &amp; Bedingungen", ("Terms & rules", "Regeln & Bedingungen")),
        ("First line<br/>second", "Erste Zeile<br>zweite", ("First line second", "Erste Zeile zweite")),
        ("\n  Two\n  words ", "Zwei Wörter", ("Two words", "Zwei Wörter")),
        ("100% of it", "100 % davon", ("100% of it", "100 % davon")),
    ],
)
def test_messages_become_text(message: str, translation: str, expected: tuple[str, str]) -> None:
    assert cleaned(message, translation) == expected


@pytest.mark.parametrize(
    ("message", "translation"),
    [
        ("Delete %s now", "Jetzt %s löschen"),
        ("Delete %(name)s now", "Jetzt löschen"),
        ("Found {count} pages", "{count} Seiten gefunden"),
        ("Open %1 now", "Jetzt %1 öffnen"),
        ("Use ${name} here", "Hier ${name} benutzen"),
        ("See `the guide`", "Siehe `Leitfaden`"),
        ("See :ref:`guide`", "Siehe den Leitfaden"),
        ("Set max_length here", "max_length hier setzen"),
        ("Visit https://example.org today", "Heute besuchen"),
        ("Save", "Speichern"),  # one word
        ("Jupyter Notebook", "jupyter notebook"),  # not translated
        ("1.0 / 2.0 - 3.0", "1,0 / 2,0 - 3,0"),
        ("Two words", " "),
    ],
)
def test_what_is_not_language_is_left_out(message: str, translation: str) -> None:
    assert cleaned(message, translation) is None


def catalogue(folder: Path, language: str, *entries: polib.POEntry, compiled: bool = False) -> Path:
    file = folder / language / "LC_MESSAGES" / ("messages.mo" if compiled else "messages.po")
    file.parent.mkdir(parents=True, exist_ok=True)
    made = polib.POFile()
    made.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    made.extend(entries)
    (made.save_as_mofile if compiled else made.save)(str(file))
    return file


OPEN = polib.POEntry(msgid="Open the file", msgstr="Datei öffnen")
CLOSE = polib.POEntry(msgid="Close the file", msgstr="Datei schließen")


def texts(folder: Path, language: str = "de") -> list[tuple[str, str]]:
    return [tuple(pair) for pair, _ in Catalogues((), folder, language).pairs()]


def test_only_finished_translations_are_read_and_plurals_by_themselves(tmp_path: Path) -> None:
    forms = {0: "eine neue Seite", 1: "viele neue Seiten"}
    plural = polib.POEntry(msgid="one new page", msgid_plural="many new pages", msgstr_plural=forms)
    catalogue(
        tmp_path,
        "de",
        OPEN,
        polib.POEntry(msgid="Print the file", msgstr=""),
        polib.POEntry(msgid="Copy the file", msgstr="Datei löschen", flags=["fuzzy"]),
        polib.POEntry(msgid="Move the file", msgstr="Datei verschieben", obsolete=True),
        plural,
    )
    assert texts(tmp_path) == [
        ("Open the file", "Datei öffnen"),
        ("one new page", "eine neue Seite"),
        ("many new pages", "viele neue Seiten"),
    ]


def test_of_three_plural_forms_the_last_is_the_general_one(tmp_path: Path) -> None:
    forms = {0: "une nouvelle page", 1: "un million de pages", 2: "plusieurs nouvelles pages"}
    catalogue(tmp_path, "fr", polib.POEntry(msgid="one new page", msgid_plural="many new pages", msgstr_plural=forms))
    assert texts(tmp_path, "fr")[1] == ("many new pages", "plusieurs nouvelles pages")


def test_languages_and_compiled_catalogues(tmp_path: Path) -> None:
    catalogue(tmp_path / "one", "de_DE", OPEN, compiled=True)
    catalogue(tmp_path / "two", "de_AT", CLOSE)
    assert texts(tmp_path) == [("Open the file", "Datei öffnen")]
    # The source of the same catalogue is read instead of what was compiled from it.
    catalogue(tmp_path / "one", "de_DE", CLOSE)
    assert texts(tmp_path) == [("Close the file", "Datei schließen")]


def test_each_english_text_counts_once(tmp_path: Path) -> None:
    catalogue(tmp_path / "a", "de", OPEN, polib.POEntry(msgid="open the &File", msgstr="Öffne die Datei"))
    assert texts(tmp_path) == [("Open the file", "Datei öffnen")]


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not-there is not installed"):
        Catalogues(["not-there"], None, "de").files()
    with pytest.raises(UserError, match="is not a folder"):
        Catalogues((), tmp_path / "missing", "de").files()
    with pytest.raises(UserError, match="no catalogues of language de"):
        Catalogues((), tmp_path, "de").files()
    file = catalogue(tmp_path, "de", OPEN, compiled=True)
    file.write_bytes(b"no catalogue")
    with pytest.raises(UserError, match=r"messages\.mo is no gettext catalogue"):
        texts(tmp_path)


def test_installed_packages_give_real_text() -> None:
    pairs = messages(1300)
    assert Catalogues(PACKAGES, None, "de").files()[0].parts[-4:-2] == ("locale", "de")
    assert len({pair.source.casefold() for pair in pairs}) == len(pairs)
    parts = [name for name, _ in split(pairs, 0.1, 0.1)]
    assert min(parts.count("valid"), parts.count("test")) >= 90
