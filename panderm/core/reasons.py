"""Why a delivered file or metadata row is in quarantine: one closed list of codes with their meaning."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A quarantine reason; the value is what ``quarantine.parquet`` holds."""

    NOT_AN_IMAGE = "not_an_image"  # the bytes are not an image at all
    FORMAT_NOT_ALLOWED = "format_not_allowed"  # an image, but not on the allow-list
    TOO_MANY_PIXELS = "too_many_pixels"  # above the pixel cap: a decompression bomb or a mistake
    TOO_LARGE = "too_large"  # the file has more bytes than any camera writes
    TRUNCATED = "truncated"  # the data break off or are damaged
    UNREADABLE = "unreadable"  # the file system would not give the bytes
    BAD_MASK = "bad_mask"  # a mask that is empty, of another size than its image, or of no image; and its image
    DUPLICATE_BYTES = "duplicate_bytes"  # the same bytes as another file of this dataset
    UNEXPECTED_FILE = "unexpected_file"  # not part of the native layout
    NO_METADATA = "no_metadata"  # an image that no metadata row names
    MISSING_FILE = "missing_file"  # a metadata row that names no file
    MISSING_COLUMN = "missing_column"  # its metadata table lacks a column the layout cannot do without
    DUPLICATE_ROW = "duplicate_row"  # a second metadata row for the same image, that says the same
    UNKNOWN_LABEL = "unknown_label"  # a label outside the task's classes
    CONTRADICTION = "contradiction"  # two columns, rows or tables say different things of one image
    BAD_METADATA = "bad_metadata"  # the metadata file itself cannot be read
    BAD_VALUE = "bad_value"  # a value that the task cannot do without is missing or impossible
    HELD_OUT = "held_out"  # belongs to the benchmark's held-out institutions, so no source may use it
    OUT_OF_SCOPE = "out_of_scope"  # good, but not what the task asks for: institution, modality, diagnosis, no mask
