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
from panderm.readers.checks import refuse
from panderm.readers.csvfile import LINE, UnreadableTable, read_csv
from panderm.readers.listing import IMAGE_SUFFIXES, is_litter, list_files, looks_like_image
from panderm.readers.repeats import differ, disputes

NAMED = "named"
"""Column of the rows given to :meth:`Sorter.place`: the file as its metadata row names it."""

WHERE = "#where"
"""Column that :meth:`Sorter.match` adds: the table and the line of each row, ``metadata.csv#12``."""

_REJECTS = ["path", "reason", "detail"]
_OWNERS = ("patient_id", "lesion_id")
DECISIVE = ("label", "split", "visit", "malignant", "rfi_months", "recurrence")
"""What rows of one image must agree on: whose it is, and for a task what it learns and judges by. The last three are no
columns of ``DELIVERED``; they count where a reader leaves them in its rows."""


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

    def find(self, *names: str) -> str:
        """Return the path of the file that has one of these names, in any case and folder; the first name where none has."""
        wanted = {name.casefold() for name in names}
        found = (path for path in self.files if path.rsplit("/", 1)[-1].casefold() in wanted and not is_litter(path))
        return min(found, key=lambda path: path.count("/"), default=names[0])

    def place(self, name: str | pd.Series, rows: pd.DataFrame, files: dict[str, str]) -> None:
        """Match metadata rows with files, and put both where they belong.

        Args:
            name: the table the rows are from, or a column that says it row by row.
            rows: one row an image: :data:`NAMED`, ``#line`` (0 where there is none), columns of ``DELIVERED`` except
                ``path``; where a column ``reason`` is not null the image is refused for that reason, with the text in
                ``detail``.
            files: name by which a row may call a file -> its path.
        """
        self.accept(self.match(name, rows, files))

    def match(self, name: str | pd.Series, rows: pd.DataFrame, files: dict[str, str]) -> pd.DataFrame:
        """Return the rows that name a delivered file, with its ``path`` and :data:`WHERE`; the others are refused.

        Takes what :meth:`place` does. Of rows that name one file the first counts if they agree, otherwise the file is
        refused: nobody can say which of them is right.
        """
        line = rows[LINE].astype("string")
        where = (name + "#" + line).mask(line == "0")
        return self._refuse_rows(rows.assign(path=locate(rows[NAMED], files), **{WHERE: where}))

    def accept(self, rows: pd.DataFrame) -> None:
        """Put images on the pile of rows: columns of ``DELIVERED``, ``path`` among them; labels are checked."""
        rows = self.refuse_marked(self._labelled(rows) if self.dataset.classes else rows)
        rows = rows[rows["path"].map(self._left.__contains__).astype(bool)]
        for path in rows["path"]:
            del self._left[path]
        self._rows.append(rows)

    def refuse_marked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Refuse the files of rows with a ``reason``, with their table and line before the ``detail``; return the others."""
        if "reason" not in rows:
            return rows
        marked = rows[rows["reason"].notna()]
        if WHERE in marked:
            marked = marked.assign(detail=(marked[WHERE] + ": ").fillna("") + marked["detail"])
        self._refuse(marked)
        return rows[rows["reason"].isna()]

    def reject(self, paths: Iterable[str], reason: Reason, detail: str) -> None:
        """Put files on the pile of rejects."""
        self._refuse(pd.DataFrame({"path": list(paths), "reason": reason.value, "detail": detail}))

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

    def _refuse_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Refuse files that rows disagree about, rows that repeat another and rows without a file; return the rest."""
        columns = dict.fromkeys((*DECISIVE, *_OWNERS) if self.dataset.classes else _OWNERS, differ)
        disputed = disputes(rows, rows["path"], rows[WHERE], columns)
        self._refuse(pd.DataFrame({"path": disputed.index, "reason": Reason.CONTRADICTION.value, "detail": disputed.array}))
        rows = rows[~rows["path"].isin(disputed.index)]
        here, unnamed = rows[WHERE], rows[NAMED].isna()
        target = rows["path"].fillna(rows[NAMED])
        again = target.duplicated() & ~unnamed
        missing = rows["path"].isna() & ~again
        self._note(here[again], Reason.DUPLICATE_ROW, "it names " + target[again] + " again; the first row counts")
        self._note(here[missing & unnamed], Reason.MISSING_FILE, "the row names no file")
        lost = missing & ~unnamed
        self._note(target[lost], Reason.MISSING_FILE, here[lost] + " names it, but it was not delivered")
        return rows[~(again | missing)]

    def _labelled(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with those marked whose label is none of the task's."""
        known = rows["label"].isin(list(self.dataset.classes))
        if "role" in rows:
            known |= rows["role"] == MASK
        words = rows["label"][~known].astype(object)
        seen = words.map(lambda word: f"the label is {word!r}", na_action="ignore").fillna("it has no label")
        return refuse(rows, ~known, Reason.UNKNOWN_LABEL, seen + f"; allowed: {_some(self.dataset.classes)}")

    def _refuse(self, files: pd.DataFrame) -> None:
        """Put files (``path``, ``reason``, ``detail``) on the pile of rejects, those that are left on the table."""
        refused = files[files["path"].map(self._left.__contains__).astype(bool)].drop_duplicates("path")
        for path in refused["path"]:
            del self._left[path]
        self._rejects.append(refused[_REJECTS])

    def _note(self, paths: pd.Series, reason: Reason, detail: pd.Series | str) -> None:
        """Refuse metadata rows; no file is touched."""
        self._rejects.append(pd.DataFrame({"path": paths, "reason": reason.value, "detail": detail}))


def _some(names: tuple[str, ...], most: int = 12) -> str:
    """Return names for a sentence; of more than ``most`` the first ones and how many there are besides."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


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
