"""The sorting table that every reader works at: each delivered file ends on exactly one of three piles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from panderm.catalog import Dataset
from panderm.core.reasons import Reason
from panderm.core.tables import DELIVERED, IMAGE, MASK, to_table
from panderm.imaging.members import BadMember, is_container, join, member_names
from panderm.readers import values
from panderm.readers.base import LICENCE, Delivery
from panderm.readers.csvfile import LINE, UnreadableTable, read_csv
from panderm.readers.listing import IMAGE_SUFFIXES, list_files, looks_like_image

NAMED = "named"
"""Column of the rows given to :meth:`Sorter.place`: the file as its metadata row names it."""

_REJECTS = ["path", "reason", "detail"]


class Sorter:
    """Files of one landing folder while a reader sorts them.

    Attributes:
        dataset: what is read.
        files: every delivered file, posix paths relative to the landing folder, sorted.
    """

    def __init__(self, dataset: Dataset, landing: Path) -> None:
        self.dataset = dataset
        self.files = list_files(landing)
        self._landing = landing
        self._left = dict.fromkeys(self.files)  # a set that keeps its order
        self._territory: dict[str, str] = {}  # image -> the table that should have named it
        self._rows: list[pd.DataFrame] = []
        self._rejects: list[pd.DataFrame] = []
        self._metadata: list[str] = []
        self._members: dict[str, None] = {}  # a set that keeps its order
        self.keep([path for path in self.files if path.casefold() == LICENCE])

    def keep(self, paths: Iterable[str]) -> None:
        """Put files of the layout that are no images to ingest on the metadata pile."""
        for path in paths:
            del self._left[path]
            self._metadata.append(path)

    def images(self, belongs: Callable[[str], bool]) -> list[str]:
        """Return the files whose path ``belongs`` to the layout's image folders, whatever their names claim to be."""
        return [path for path in self.files if path in self._left and belongs(path)]

    def open(self, container: str, names: Callable[[Path], list[str]] = member_names) -> dict[str, str]:
        """Open a delivered container: put the file on the metadata pile and its members on the table.

        Args:
            container: its path.
            names: lists its members; raises ``BadMember``.

        Returns:
            name of each member -> its path; empty for a container that is damaged, which is refused.
        """
        try:
            listed = names(self._landing / container)
        except BadMember as error:
            self.reject([container], error.reason, str(error))
            return {}
        self.keep([container])
        members = {name: join(container, name) for name in listed}
        self._left.update(dict.fromkeys(members.values()))
        self._members.update(dict.fromkeys(members.values()))
        return members

    def table(
        self, name: str, required: tuple[str, ...], images: list[str], parse: Callable[[Path], pd.DataFrame] = read_csv
    ) -> pd.DataFrame | None:
        """Read the metadata table that describes ``images``.

        Returns None where the table is missing, unreadable or lacks a required column; its images are then refused.

        Args:
            name: path relative to the landing folder, found in whatever case it was delivered.
            required: lower-case names of the columns that the layout cannot do without.
            images: the files that the table should name.
            parse: reads the file, for tables that are no CSV or name their columns otherwise; raises ``UnreadableTable``.
        """
        claimed = [path for path in images if looks_like_image(path) or path in self._members or is_container(path)]
        self.claim(claimed, name)
        actual = name if name in self._left else next((p for p in self._left if p.casefold() == name.casefold()), None)
        if actual is None:
            self.reject(claimed, Reason.NO_METADATA, f"{name} was not delivered")
            return None
        try:
            frame = parse(self._landing / actual)
        except UnreadableTable as error:
            self.reject([actual], Reason.BAD_METADATA, str(error))
            self.reject(claimed, Reason.NO_METADATA, str(error))
            return None
        self.keep([actual])
        lacking = [column for column in required if column not in frame]
        if lacking:
            self.reject(claimed, Reason.MISSING_COLUMN, f"{actual} lacks the column {lacking[0]!r}")
            return None
        return frame

    def claim(self, images: Iterable[str], name: str) -> None:
        """Say which table or tables should name ``images``; those that stay unnamed are refused with that name."""
        self._territory.update(dict.fromkeys(images, name))

    def place(self, name: str | pd.Series, rows: pd.DataFrame, files: dict[str, str]) -> None:
        """Match metadata rows with files, and put both where they belong.

        Args:
            name: the table the rows are from, or a column that says it row by row.
            rows: one row an image: :data:`NAMED`, ``#line``, columns of ``DELIVERED`` except ``path``; where a
                column ``reason`` is not null the image is refused for that reason, with the text in ``detail``.
            files: name by which a row may call a file -> its path.
        """
        rows = self.match(name, rows, files)
        if self.dataset.classes:
            self._check_labels(rows)
        self._rows.append(self._refuse_marked(rows))

    def match(self, name: str | pd.Series, rows: pd.DataFrame, files: dict[str, str]) -> pd.DataFrame:
        """Return the rows that name a delivered file, with its ``path``; the others are refused. Takes what ``place`` does."""
        return self._refuse_rows(name, rows.assign(path=locate(rows[NAMED], files)))

    def accept(self, rows: pd.DataFrame) -> None:
        """Put images on the pile of rows: columns of ``DELIVERED``, ``path`` among them; labels are checked."""
        if self.dataset.classes:
            self._check_labels(rows)
        self._rows.append(self._refuse_marked(rows))

    def reject(self, paths: Iterable[str], reason: Reason, detail: str) -> None:
        """Put files on the pile of rejects."""
        refused = [path for path in paths if path in self._left]
        for path in refused:
            del self._left[path]
        self._rejects.append(pd.DataFrame({"path": refused, "reason": reason.value, "detail": detail}))

    def finish(self) -> Delivery:
        """Refuse what is left and return the three piles."""
        unnamed = pd.Series({path: table for path, table in self._territory.items() if path in self._left}, dtype="string")
        for table, group in unnamed.groupby(unnamed):
            self.reject(group.index, Reason.NO_METADATA, f"no row of {table} names it")
        self.reject(list(self._left), Reason.UNEXPECTED_FILE, "it is not part of the native layout")
        rejects = pd.concat(self._rejects, ignore_index=True)[_REJECTS].sort_values(["path", "reason"], ignore_index=True)
        return Delivery(self._delivered(), rejects, tuple(sorted(self._metadata)), tuple(sorted(self._members)))

    def _delivered(self) -> pd.DataFrame:
        parts = [part for part in self._rows if len(part)]
        if not parts:
            empty: pd.DataFrame = DELIVERED.empty_table().to_pandas()
            return empty
        rows = pd.concat(parts, ignore_index=True).sort_values("path", ignore_index=True)
        rows["image_id"] = [values.image_id(i, p) for i, p in zip(rows["image_id"], rows["path"], strict=True)]
        again = rows["image_id"].duplicated()  # the same stem with another extension, say
        rows.loc[again, "image_id"] = [
            values.image_id(f"{i}~", p) for i, p in zip(rows.loc[again, "image_id"], rows.loc[again, "path"], strict=True)
        ]
        rows["role"] = rows["role"].fillna(IMAGE) if "role" in rows else IMAGE
        frame: pd.DataFrame = to_table(rows, DELIVERED).to_pandas()
        return frame

    def _refuse_rows(self, name: str | pd.Series, rows: pd.DataFrame) -> pd.DataFrame:
        """Refuse rows that repeat another and rows without a file; return the rest."""
        here = name + "#" + rows[LINE].astype("string")
        unnamed = rows[NAMED].isna()
        target = rows["path"].fillna(rows[NAMED])
        again = target.duplicated() & ~unnamed
        missing = rows["path"].isna() & ~again
        self._note(here[again], Reason.DUPLICATE_ROW, "it names " + target[again] + " again; the first row counts")
        self._note(here[missing & unnamed], Reason.MISSING_FILE, "the row names no file")
        lost = missing & ~unnamed
        self._note(target[lost], Reason.MISSING_FILE, here[lost] + " names it, but it was not delivered")
        return rows[~(again | missing)]

    def _check_labels(self, rows: pd.DataFrame) -> None:
        known = rows["label"].isin(list(self.dataset.classes))
        if "role" in rows:
            known |= rows["role"] == MASK
        for word, group in rows[~known & ~_marked(rows)].groupby("label", dropna=False):
            seen = "it has no label" if pd.isna(word) else f"the label is {word!r}"
            self.reject(group["path"], Reason.UNKNOWN_LABEL, f"{seen}; allowed: {_some(self.dataset.classes)}")

    def _refuse_marked(self, rows: pd.DataFrame) -> pd.DataFrame:
        marked = _marked(rows)
        if marked.any():
            for (reason, detail), group in rows[marked].groupby(["reason", "detail"]):
                self.reject(group["path"], Reason(str(reason)), str(detail))
        open_rows = rows[rows["path"].map(self._left.__contains__).astype(bool)]
        for path in open_rows["path"]:
            del self._left[path]
        return open_rows

    def _note(self, paths: pd.Series, reason: Reason, detail: pd.Series | str) -> None:
        """Refuse metadata rows; no file is touched."""
        self._rejects.append(pd.DataFrame({"path": paths, "reason": reason.value, "detail": detail}))


def _some(names: tuple[str, ...], most: int = 12) -> str:
    """Return names for a sentence; of more than ``most`` the first ones and how many there are besides."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _marked(rows: pd.DataFrame) -> pd.Series:
    return rows["reason"].notna() if "reason" in rows else pd.Series(False, index=rows.index)


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return an optional column of a table, empty texts where the table lacks it."""
    return frame[name] if name in frame else pd.Series("", index=frame.index)


def by_name(paths: Iterable[str]) -> dict[str, str]:
    """Return file name -> path; of two files with one name the first path counts."""
    named: dict[str, str] = {}
    for path in paths:
        named.setdefault(path.rsplit("/", 1)[-1], path)
    return named


def below(folder: str, paths: Iterable[str]) -> dict[str, str]:
    """Return path below ``folder`` -> path, for files that lie there."""
    return {path[len(folder) + 1 :]: path for path in paths if path.startswith(f"{folder}/")}


def locate(names: pd.Series, files: dict[str, str]) -> pd.Series:
    """Return the path of each named file, null where there is none.

    The exact name counts first, then the name in another case, then the name without its extension.
    """
    found = names.map(files)
    for key in (str.casefold, _stem):
        if not found.isna().any():
            break
        keyed: dict[str, str] = {}
        for name, path in files.items():
            keyed.setdefault(key(name), path)
        found = found.fillna(names.map(key, na_action="ignore").map(keyed))
    return found.astype("string")


def _stem(name: str) -> str:
    base, dot, extension = name.casefold().rpartition(".")
    return base if dot and f".{extension}" in IMAGE_SUFFIXES else name.casefold()


def stems(names: pd.Series) -> pd.Series:
    """Return file names without folder and image extension: the native image id of layouts that name files."""
    base = names.str.replace(r"^.*/", "", regex=True)
    return base.str.replace(r"\.(jpe?g|jpe|png|tiff?|bmp|gif|webp|heic)$", "", regex=True, case=False)


def file_names(delivered: pd.Series, folder: str = "") -> pd.Series:
    """Return delivered file names with forward slashes and without a leading ``./`` or ``<folder>/``."""
    names = values.text(delivered).str.replace("\\", "/", regex=False).str.removeprefix("./")
    return names.str.removeprefix(f"{folder}/") if folder else names
