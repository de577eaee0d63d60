"""A whole delivery as a plan: every file of the landing folder, and where the trouble is."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from panderm.catalog import Dataset
from panderm.core.layout import benchmark_dataset
from panderm.twins.layouts import LAYOUTS, Laid
from panderm.twins.picture import Picture, encode
from panderm.twins.shots import INSTITUTIONS, Scale, Shot, source_shots, task_shots
from panderm.twins.trouble import spoil

_BENCHMARKS = benchmark_dataset("")

_NEEDED: dict[str, str] = {
    "vectra": "lesion_id",
    "cohort_csv": "subject",
    "paired_csv": "patient_id",
    "visits_csv": "person",
    "tiles_csv": "donor_id",
    "ham10000": "dx",
    "pad_ufes": "diagnostic",
    "isic2024": "isic_id",
}
"""Layout -> the column that a broken delivery lacks; in a layout without a table most files are cut off instead."""

_OPTIONAL: dict[str, str] = {"hop": "out_of_bounds_fraction", "nssi": "site"}
"""Source -> the optional column that its first table lacks."""


class Photo(NamedTuple):
    """A drawn file; ``how`` is a key of ``trouble.SPOILERS`` or empty."""

    picture: Picture
    how: str = ""

    def data(self) -> bytes:
        """Return the file's bytes."""
        return spoil(self.how, self.picture) if self.how else encode(self.picture)


@dataclass(frozen=True)
class Plan:
    """Files of a landing folder.

    Attributes:
        files: posix path -> what it holds.
        trouble: key of ``trouble.TROUBLE`` -> paths, or the names of tables and patients it concerns.
    """

    files: dict[str, Photo | bytes]
    trouble: dict[str, tuple[str, ...]] = field(default_factory=dict)


def plan(dataset: Dataset, seed: int, scale: Scale, delivery: int = 1, *, broken: bool = False) -> Plan:
    """Return what deliveries 1 to ``delivery`` of a dataset's twin hold together.

    Args:
        dataset: a source or a runnable benchmark.
        seed: of everything.
        scale: how many images.
        delivery: the number of batches; every batch leaves the files of those before as they are.
        broken: make it fail its contract.
    """
    batches = [_shots(dataset.key, seed, scale, number) for number in range(1, delivery + 1)]
    extras = dict(_extras(dataset, batches[0], seed, scale))
    added = [shot for number in batches[1:] for shot in number]
    laid = LAYOUTS[dataset.reader](batches[0] + list(extras.values()) + added)
    paths = {shot.name: path for path, shot in laid.photos.items()}
    trouble: dict[str, list[str]] = defaultdict(list)
    for key, shot in extras.items():
        trouble[key.split("#", maxsplit=1)[0]].append(paths[shot.name])
    _plant_in_tables(dataset, laid, trouble)
    if dataset.key == "mym_hop_derm":
        trouble["shared_patient"] += sorted({shot.patient for shot in batches[0]})
    if broken:
        _break(dataset, laid)
    files: dict[str, Photo | bytes] = {path: Photo(shot.picture, shot.how) for path, shot in laid.photos.items()}
    files |= {path: table.encoded() for path, table in laid.tables.items()} | _LITTER
    trouble["litter"] += list(_LITTER)
    return Plan(files, {key: tuple(where) for key, where in sorted(trouble.items())})


_LITTER: dict[str, Photo | bytes] = {
    ".DS_Store": b"\x00\x00\x00\x01Bud1",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "please read.txt": b"Export of Tuesday. The rest follows next week.\n",
}


def _shots(key: str, seed: int, scale: Scale, number: int) -> list[Shot]:
    if key.startswith(_BENCHMARKS):
        return task_shots(key.removeprefix(_BENCHMARKS), seed, scale, number)
    return source_shots(key, seed, scale, number)


def _extras(dataset: Dataset, shots: list[Shot], seed: int, scale: Scale) -> Iterator[tuple[str, Shot]]:
    """Yield trouble's key (with ``#n`` where it comes more than once) and the photo that carries it."""

    def extra(number: int, base: Shot, picture: Picture | None = None, how: str = "") -> Shot:
        return replace(base, name=f"{base.name}9{number}", picture=picture or base.picture, how=how, extra=True)

    def other(number: int, base: Shot) -> Picture:
        return base.picture._replace(subject=f"{base.picture.subject}/extra{number}")

    for number, how in enumerate(("truncated", "text", "bomb")):
        yield how, extra(number, shots[number], other(number, shots[number]), how)
    yield "tagged", extra(3, shots[3], other(3, shots[3])._replace(form="JPEG"), "tagged")
    if shots[4].picture.form == "PNG":
        yield "tagged_png", extra(4, shots[4], other(4, shots[4]), "tagged_png")
    yield "exact_duplicate", extra(5, shots[5])
    yield "recompressed", extra(6, shots[6], shots[6].picture._replace(form="JPEG", quality=62))
    if dataset.key in _COPIED:
        stolen = task_shots(_COPIED[dataset.key], seed, scale)
        yield "benchmark_copy", extra(7, shots[0], stolen[5].picture)
        worse = stolen[9].picture._replace(form="JPEG", quality=62)
        yield "benchmark_recompressed", extra(8, shots[1], worse)
    if dataset.classes:
        odd = {"isic2024": "2"}.get(dataset.reader, "wart")
        yield "unknown_label", replace(extra(7, shots[7], other(7, shots[7])), label=odd)
    if dataset.reader == "isic2024":
        yield from _across_institutions(dataset, shots, seed, scale)


_COPIED: dict[str, str] = {"mmt": "ham10000", "edu1": "pad_ufes"}
"""Source -> the benchmark whose images turn up in it."""


def _across_institutions(dataset: Dataset, shots: list[Shot], seed: int, scale: Scale) -> Iterator[tuple[str, Shot]]:
    """Yield what source and benchmark of ISIC 2024 have of each other."""
    if dataset.classes:
        for number, shot in enumerate(source_shots("isic2024", seed, scale)[:2]):
            yield f"out_of_scope#{number}", replace(shot, name=f"ISIC_{8_100_000 + number}", label="0", extra=True)
        return
    benchmark = task_shots("isic2024", seed, scale)
    for number, shot in enumerate(benchmark[7:9]):
        yield f"held_out#{number}", replace(shot, extra=True)
    home = {"attribution": INSTITUTIONS[0]}
    yield "benchmark_id", replace(shots[8], name=benchmark[3].name, extra=True, picture=_moved(shots[8]), more=home)
    yield (
        "benchmark_patient",
        replace(shots[9], name="ISIC_8200000", patient=benchmark[4].patient, extra=True, picture=_moved(shots[9]), more=home),
    )


def _moved(shot: Shot) -> Picture:
    return shot.picture._replace(subject=f"{shot.picture.subject}/moved")


def _plant_in_tables(dataset: Dataset, laid: Laid, trouble: dict[str, list[str]]) -> None:
    """Add a row too many, a row without a file, a file without a row; leave out an optional column."""
    first, shot = next(iter(laid.photos.items()))
    spare = replace(shot, picture=shot.picture._replace(subject=f"{shot.picture.subject}/unlisted"))
    ending = posixpath.splitext(first)[1]
    if not laid.tables:
        laid.photos[f"loose{ending}"] = spare
        trouble["no_folder"].append(f"loose{ending}")
        return
    name, table = next(iter(laid.tables.items()))
    table.rows.append(dict(table.rows[0]))
    trouble["duplicate_row"].append(name)
    lost = {column: value for column, value in table.rows[1].items() if not column.endswith("_image")}
    table.rows.append(lost | {table.file_column: "lost-photo"})
    trouble["missing_file"].append(name)
    unlisted = f"{posixpath.dirname(first)}/unlisted{ending}"
    laid.photos[unlisted] = spare
    trouble["no_metadata"].append(unlisted)
    if dataset.key in _OPTIONAL:
        table.drop(_OPTIONAL[dataset.key])
        trouble["missing_column"].append(name)
    if table.encoding != "utf-8" or table.separator != ",":
        trouble["encoding"].append(name)


def _break(dataset: Dataset, laid: Laid) -> None:
    """Make the delivery one that no contract lets through."""
    column = _NEEDED.get(dataset.reader)
    if column is None:
        for number, (path, shot) in enumerate(laid.photos.items()):
            laid.photos[path] = replace(shot, how=shot.how or ("truncated" if number % 4 else ""))
        return
    for table in laid.tables.values():
        table.drop(column)
