"""The tables that stages hand over, as pyarrow schemas, and one way to write parquet whole and byte-stable.

Every column is named once, here; a table read back is checked against its schema before anybody uses it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from panderm.core.errors import InputError
from panderm.core.files import writing
from panderm.core.layout import written_by

_TEXT = pa.string()

IMAGE, MASK = "image", "mask"
"""Values of the column ``role``."""

DELIVERED = pa.schema(
    [
        ("path", _TEXT),  # relative to the landing folder, posix
        ("image_id", _TEXT),  # unique within the dataset
        ("modality", _TEXT),  # tbp | dermoscopic | clinical | dermatopathology
        ("patient_id", _TEXT),  # "<namespace>:<id>", null where the source has none
        ("lesion_id", _TEXT),  # "<namespace>:<id>", null where the source has none
        ("visit", _TEXT),
        ("label", _TEXT),  # the source's own word, null where unlabelled
        ("split", _TEXT),  # official split (train | val | test), null where none is shipped
        ("age", pa.float64()),  # years
        ("sex", _TEXT),  # female | male, null if unknown
        ("site", _TEXT),  # anatomical site, lower case
        ("skin_type", _TEXT),  # Fitzpatrick I..VI
        ("institution", _TEXT),
        ("role", _TEXT),  # image | mask; a mask is stored as a picture of its own
        ("mask_of", _TEXT),  # image_id of the image whose mask this is, null for images
        ("attributes", _TEXT),  # further values of the layout by name, as JSON with sorted keys; null where none
    ]
)
"""What a reader says of one delivered image before its bytes are opened; path, image_id, modality and role are never null."""

MANIFEST = pa.schema(
    [
        ("dataset", _TEXT),
        *((field.name, field.type) for field in DELIVERED),
        ("delivered_sha256", _TEXT),
        ("delivered_bytes", pa.int64()),
        ("delivered_format", _TEXT),  # JPEG | PNG | ...
        ("stored_sha256", _TEXT),
        ("phash", _TEXT),  # 64-bit perceptual hash of the upright picture, 16 hex digits
        ("width", pa.int32()),  # of the stored image, pixels, orientation applied
        ("height", pa.int32()),
        ("shard", _TEXT),  # shard file, relative to the dataset's folder, e.g. shards/000000-1c37d980.tar
        ("offset", pa.int64()),  # where the image's bytes start in the shard file
        ("nbytes", pa.int64()),  # how many they are: shard[offset:offset+nbytes] is the image file
    ]
)
"""One row an image in a shard (``manifest.parquet``), sorted by (shard, offset)."""

QUARANTINE = pa.schema(
    [
        ("dataset", _TEXT),
        ("path", _TEXT),  # relative to the landing folder; for a metadata row without a file, the file it names
        ("reason", _TEXT),  # a panderm.core.reasons.Reason value
        ("detail", _TEXT),  # one sentence
        ("delivered_sha256", _TEXT),  # null where there is no file
        ("delivered_bytes", pa.int64()),
    ]
)
"""One row a refused file or metadata row (``quarantine.parquet``), sorted by path."""

CORPUS = pa.schema(
    [
        ("dataset", _TEXT),
        ("image_id", _TEXT),
        ("modality", _TEXT),
        ("patient_id", _TEXT),
        ("lesion_id", _TEXT),
        ("shard", _TEXT),  # relative to data/, e.g. mym/shards/000000-1c37d980.tar
        ("offset", pa.int64()),
        ("nbytes", pa.int64()),
        ("stored_sha256", _TEXT),
        ("phash", _TEXT),
    ]
)
"""The pretraining corpus, one row an image, sorted by (dataset, image_id)."""

EXCLUSIONS = pa.schema(
    [
        ("dataset", _TEXT),
        ("image_id", _TEXT),
        ("reason", _TEXT),  # a panderm.curate.Exclusion value
        ("matched_dataset", _TEXT),
        ("matched_image_id", _TEXT),
        ("distance", pa.int32()),  # Hamming distance of the perceptual hashes, null for exact reasons
    ]
)
"""Published source images that the corpus leaves out, and why."""

SPLIT = pa.schema(
    [
        ("image_id", _TEXT),
        ("split", _TEXT),  # train | val | test
        ("label", _TEXT),
        ("target", pa.int32()),  # index of the label in the task's classes
        ("group", _TEXT),  # what splits and bootstrap keep together: patient, else lesion, else image
        ("patient_id", _TEXT),
        ("lesion_id", _TEXT),
        ("age", pa.float64()),
        ("sex", _TEXT),
        ("site", _TEXT),
        ("skin_type", _TEXT),
        ("shard", _TEXT),  # relative to data/
        ("offset", pa.int64()),
        ("nbytes", pa.int64()),
        ("stored_sha256", _TEXT),
        ("visit", _TEXT),
        ("fold", pa.int32()),  # of tasks judged out of fold, whose split is "test" throughout; null for the others
        ("attributes", _TEXT),  # as delivered
        ("mask_shard", _TEXT),  # where the image's mask is, of segmentation tasks
        ("mask_offset", pa.int64()),
        ("mask_nbytes", pa.int64()),
    ]
)
"""A task's images with their split, sorted by image_id."""

MOVED = pa.schema(
    [
        ("group", _TEXT),  # as in the split
        ("image_id", _TEXT),
        ("patient_id", _TEXT),
        ("lesion_id", _TEXT),
        ("shipped", _TEXT),  # the split that the delivery lists it in, null where in none
        ("split", _TEXT),  # the one it is in
    ]
)
"""Images of patients, lesions or pictures that a delivery lists in two splits (``moved.parquet``), by group and image."""


def to_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return ``frame`` as a table of exactly ``schema``; columns that are absent become null."""
    columns = [
        pa.array(frame[field.name], type=field.type, from_pandas=True)
        if field.name in frame
        else pa.nulls(len(frame), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write ``frame`` as parquet of exactly ``schema``, whole or not at all; equal frames give equal bytes."""
    with writing(path) as aside:
        pq.write_table(to_table(frame, schema), aside, compression="zstd")


def read_table(path: Path, schema: pa.Schema) -> pd.DataFrame:
    """Return a stage's parquet table as a frame with ``schema``'s columns.

    Raises:
        InputError: the file is missing, not parquet, lacks a column, or a column is of another type.
    """
    table = read_parquet(path)
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise InputError(f"{path} lacks column {missing[0]!r}; it was written by another version, run {written_by(path)} again")
    try:
        frame: pd.DataFrame = table.select(schema.names).cast(schema).to_pandas()
    except pa.ArrowException as error:
        raise InputError(
            f"{path} holds a column of another type ({str(error).splitlines()[0]}); run {written_by(path)} again"
        ) from error
    return frame


def read_parquet(path: Path) -> pa.Table:
    """Return a parquet table with whatever columns it has.

    Raises:
        InputError: the file is missing or not parquet.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; run {written_by(path)} first")
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:  # damaged pages are an OSError too, without a number
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path} cannot be read ({error.strerror}); mend that and run the same command again") from error
        seen = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path} is not a readable parquet file ({seen}); remove it and run {written_by(path)} again"
        ) from error


def empty(schema: pa.Schema) -> pd.DataFrame:
    """Return a frame with ``schema``'s columns and no rows."""
    frame: pd.DataFrame = schema.empty_table().to_pandas()
    return frame
