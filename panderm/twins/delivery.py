"""A whole delivery as a plan: every file of the landing folder, and where the trouble is."""

from __future__ import annotations

import io
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from panderm.catalog import Dataset
from panderm.core.errors import InputError, one_of
from panderm.core.layout import benchmark_dataset
from panderm.imaging.members import join
from panderm.readers.isic2024 import CONTAINER
from panderm.twins import challenges, clinical, cohorts, derm7pt, isic, layouts, slides, total_body
from panderm.twins.further import Twin, further_shots
from panderm.twins.layouts import Laid
from panderm.twins.picture import Picture, encode
from panderm.twins.shots import INSTITUTIONS, Scale, Shot, source_shots, task_shots
from panderm.twins.slides import Slide
from panderm.twins.trouble import spoil

_BENCHMARKS = benchmark_dataset("")

LAYOUTS = layouts.LAYOUTS | isic.LAYOUTS | derm7pt.LAYOUTS | clinical.LAYOUTS | cohorts.LAYOUTS | total_body.LAYOUTS
"""Reader's name -> how a delivery in its layout is laid out."""

FURTHER: dict[str, Twin] = isic.TWINS | derm7pt.TWINS | clinical.TWINS | cohorts.TWINS | total_body.TWINS
"""Task beyond the demo's -> what its twin holds."""

_NEEDED: dict[str, str] = {
    "vectra": "lesion_id",
    "cohort_csv": "subject",
    "paired_csv": "patient_id",
    "visits_csv": "person",
    "tiles_csv": "donor_id",
    "ham10000": "dx",
    "pad_ufes": "diagnostic",
    "isic2024": "isic_id",
    "ddi": "disease",
    "ph2": "Clinical Diagnosis",
    "fitzpatrick17k": "label",
    "patch16": "class",
    "task_csv": "image",
    "sequence_csv": "lesion_id",
    "combinemel": "recurrence",
    "nevus_csv": "label_in_clinic",
    "vectra_task": "dermoscopy",
    "isic_archive": "",
    "isic_sequences": "",
    "derm7pt": "diagnosis",
    "ham10000_seg": "dx",
}
"""Layout -> the column that a broken delivery lacks (where it is blank, the one that names the image); in a layout without a
table most files are cut off instead."""

_OPTIONAL: dict[str, str] = {"hop": "out_of_bounds_fraction", "nssi": "site"}
"""Source -> the optional column that its first table lacks."""


class Photo(NamedTuple):
    """A drawn file; ``how`` is a key of ``trouble.SPOILERS`` or empty."""

    picture: Picture
    how: str = ""

    def data(self) -> bytes:
        """Return the file's bytes."""
        return spoil(self.how, self.picture) if self.how else encode(self.picture)


class Packed(NamedTuple):
    """An HDF5 file of photos: a dataset each, holding the photo's file."""

    photos: tuple[tuple[str, Photo], ...]

    def data(self) -> bytes:
        """Return the file's bytes, the same for the same photos."""
        import h5py

        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            for name, photo in self.photos:
                file.create_dataset(name, data=np.void(photo.data()))
        return stream.getvalue()


Content = Photo | Packed | Slide | bytes
"""What a file holds, drawn only when it is written."""


@dataclass(frozen=True)
class Plan:
    """Files of a landing folder.

    Attributes:
        files: posix path -> what it holds.
        trouble: key of ``trouble.TROUBLE`` -> paths, or the names of tables and patients it concerns.
    """

    files: dict[str, Content]
    trouble: dict[str, tuple[str, ...]] = field(default_factory=dict)


def plan(
    dataset: Dataset,
    seed: int,
    scale: Scale,
    delivery: int = 1,
    *,
    broken: bool = False,
    hdf5: bool = False,
    layout: str = "",
) -> Plan:
    """Return what deliveries 1 to ``delivery`` of a dataset's twin hold together.

    Args:
        dataset: a source or a runnable benchmark.
        seed: of everything.
        scale: how many images.
        delivery: the number of batches; every batch leaves the files of those before as they are.
        broken: make it fail its contract.
        hdf5: put the images of ISIC 2024 into ``train-image.hdf5`` instead of a folder.
        layout: name of another layout of the dataset (``challenges.LAYOUTS``), empty for its usual one.

    Raises:
        InputError: the dataset has no other layout of that name.
    """
    lay = _layout(dataset, layout)
    if lay is None:
        whole = slides.delivered(dataset.key, seed, scale, delivery, broken=broken)
        return Plan({**whole.files, **_LITTER}, whole.trouble | {"litter": tuple(_LITTER)})
    batches = [_shots(dataset.key, seed, scale, number) for number in range(1, delivery + 1)]
    extras = dict(_extras(dataset, batches[0], seed, scale))
    added = [shot for number in batches[1:] for shot in number]
    laid = lay(batches[0] + list(extras.values()) + added)
    paths = {shot.name: path for path, shot in laid.photos.items()}
    trouble: dict[str, list[str]] = defaultdict(list)
    for key, shot in extras.items():
        if paths[shot.name] not in laid.beyond:
            trouble[key.split("#", maxsplit=1)[0]].append(paths[shot.name])
    trouble["out_of_scope"] += [path for path, shot in laid.photos.items() if shot.picture.kind not in dataset.modalities]
    trouble["out_of_scope"] += laid.beyond
    _plant_in_tables(dataset, laid, trouble)
    _plant_mask(dataset, laid, trouble)
    if dataset.key == "mym_hop_derm":
        trouble["shared_patient"] += sorted({shot.patient for shot in batches[0]})
    if broken:
        _break(dataset, laid)
    files: dict[str, Content] = {path: Photo(shot.picture, shot.how) for path, shot in laid.photos.items()}
    files |= {path: table.encoded() for path, table in laid.tables.items()} | laid.documents | _LITTER
    trouble["litter"] += list(_LITTER)
    if hdf5 and dataset.reader == "isic2024":
        return _packed(files, trouble)
    return Plan(files, {key: tuple(where) for key, where in sorted(trouble.items()) if where})


def _layout(dataset: Dataset, name: str) -> Callable[[list[Shot]], Laid] | None:
    """Return how a dataset's delivery is laid out, None for whole slides, which draw their own."""
    if not name:
        return LAYOUTS.get(dataset.reader)
    others = {layout: lay for (key, layout), lay in challenges.LAYOUTS.items() if key == dataset.key}
    if name not in others:
        raise InputError(one_of(name, sorted(others) or "only its usual one", f"layout of {dataset.key}"))
    return others[name]


def _packed(files: dict[str, Content], trouble: dict[str, list[str]]) -> Plan:
    """Return the plan with all photos in one container, and where the trouble is then."""
    photos = {path: content for path, content in files.items() if isinstance(content, Photo)}
    names = {path: posixpath.splitext(posixpath.basename(path))[0] for path in photos}
    kept = {path: content for path, content in files.items() if path not in photos}
    packed = Packed(tuple(sorted((names[path], photo) for path, photo in photos.items())))
    where = {path: join(CONTAINER, name) for path, name in names.items()}
    moved = {key: tuple(where.get(path, path) for path in paths) for key, paths in sorted(trouble.items()) if paths}
    return Plan(kept | {CONTAINER: packed}, moved)


_LITTER: dict[str, Content] = {
    ".DS_Store": b"\x00\x00\x00\x01Bud1",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "please read.txt": b"Export of Tuesday. The rest follows next week.\n",
}


def _shots(key: str, seed: int, scale: Scale, number: int) -> list[Shot]:
    if key.startswith(_BENCHMARKS):
        task = key.removeprefix(_BENCHMARKS)
        if task in FURTHER:
            return further_shots(_ONE.get(task, task), FURTHER[task], seed, scale, number)
        return task_shots(task, seed, scale, number)
    return source_shots(key, seed, scale, number)


def _extras(dataset: Dataset, shots: list[Shot], seed: int, scale: Scale) -> Iterator[tuple[str, Shot]]:
    """Yield trouble's key (with ``#n`` where it comes more than once) and the photo that carries it."""

    def extra(number: int | str, base: Shot, picture: Picture | None = None, how: str = "") -> Shot:
        return replace(base, name=f"{base.name}9{number}", picture=picture or base.picture, how=how, extra=True)

    def other(number: int, base: Shot) -> Picture:
        return base.picture._replace(subject=f"{base.picture.subject}/extra{number}")

    for number, how in enumerate(("truncated", "text", "bomb")):
        yield how, extra(number, shots[number], other(number, shots[number]), how)
    yield "tagged", extra(3, shots[3], other(3, shots[3])._replace(form="JPEG"), "tagged")
    if shots[4].picture.form == "PNG":
        yield "tagged_png", extra(4, shots[4], other(4, shots[4]), "tagged_png")
    if dataset.reader == "ddi":
        yield "alpha", extra(9, shots[8], other(9, shots[8]), "alpha")
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
    for number, (key, more) in enumerate(_PLANTED.get(dataset.reader, ())):
        label = more.get("label", shots[10 + number].label)
        alike = [shot for shot in shots[10:] if shot.label == label]
        base = alike[number] if len(alike) > number else shots[10 + number]
        made = replace(extra(f"{number}", base, other(20 + number, base)), label=label, more=base.more | more)
        yield f"{key}#{number}", made


_PLANTED: dict[str, tuple[tuple[str, dict[str, str]], ...]] = {
    "isic_archive": (
        ("contradiction", {"label": "mel", "contradicts": "yes"}),
        ("contradiction", {"label": "nv", "contradicts": "yes"}),
        ("out_of_scope", {"label": "unnamed"}),
    ),
    "isic_sequences": (("contradiction", {"label": "unchanged", "contradicts": "yes"}),),
    **dict.fromkeys(
        ("isic2018_seg", "ham10000_seg"),
        (("out_of_scope", {"mask": "none"}), ("mask_size", {"mask": "mask_size"}), ("mask_empty", {"mask": "mask_empty"})),
    ),
}
"""Reader -> trouble's key, and what its photo says in ``label`` and ``more``."""


_ONE: dict[str, str] = {"mmt_74": "mmt_09", "tbp_screening": "tbp_risk", "derm7pt_c": "derm7pt_d"}
"""Task -> the task whose photos it shares."""

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
    unlisted = posixpath.join(posixpath.dirname(first), f"unlisted{ending}")
    laid.photos[unlisted] = spare
    trouble["no_metadata"].append(unlisted)
    if dataset.key in _OPTIONAL:
        table.drop(_OPTIONAL[dataset.key])
        trouble["missing_column"].append(name)
    if table.encoding != "utf-8" or table.separator != ",":
        trouble["encoding"].append(name)


def _plant_mask(dataset: Dataset, laid: Laid, trouble: dict[str, list[str]]) -> None:
    """Add a mask whose image was not delivered."""
    if dataset.reader in ("isic2018_seg", "ham10000_seg"):
        path, shot = next((path, shot) for path, shot in laid.photos.items() if shot.how == "mask")
        lost = f"{posixpath.dirname(path)}/ISIC_0000001_segmentation.png"
        laid.photos[lost] = replace(shot, name="ISIC_0000001_segmentation")
        trouble["mask_alone"].append(lost)


def _break(dataset: Dataset, laid: Laid) -> None:
    """Make the delivery one that no contract lets through."""
    column = _NEEDED.get(dataset.reader)
    if column is None:
        for number, (path, shot) in enumerate(laid.photos.items()):
            laid.photos[path] = replace(shot, how=shot.how or ("truncated" if number % 4 else ""))
        return
    for table in laid.tables.values():
        table.drop(column if column in table.columns else table.file_column)
