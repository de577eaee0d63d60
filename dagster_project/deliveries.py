"""Whether a landing folder changed, told from names, sizes and times; no file is opened."""

import os
from pathlib import Path

from panderm.catalog import datasets
from panderm.core.files import sha256_json
from panderm.core.layout import Layout


def delivery_fingerprints(layout: Layout) -> dict[str, str]:
    """Return a 16-digit fingerprint of each dataset's landing folder that holds a file."""
    found = {dataset.key: _files(layout.landing(dataset.key)) for dataset in datasets()}
    return {key: sha256_json(files)[:16] for key, files in found.items() if files}


def _files(folder: Path) -> list[tuple[str, int, int]]:
    files = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            status = path.lstat()
            files.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    return sorted(files)
