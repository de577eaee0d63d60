"""What a pathologist's word means for the total-body tasks."""

from __future__ import annotations

import pytest

from panderm.readers.pathology import nature_of_finding


@pytest.mark.parametrize(
    "word",
    [
        *(
            "malignant",
            "Melanoma",
            "melanoma in situ",
            "Invasive melanoma",
            "in-situ melanoma",
            "superficial spreading melanoma",
        ),
        *("BCC", "Nodular BCC", "basal cell carcinoma", "SCC", "SCC in situ", "squamous cell carcinoma in situ", "IEC"),
        *("Bowen's disease", "lentigo maligna", "melanoma metastasis", "Keratoacanthoma", "Merkel cell carcinoma"),
    ],
)
def test_nature_of_finding__cancers_are_malignant(word: str) -> None:
    assert nature_of_finding(word) == "malignant"


@pytest.mark.parametrize(
    "word",
    [
        *("benign", "nevus", "Naevus", "benign naevus", "dysplastic nevi", "Compound_naevus", "Spitz nevus", "blue nevus"),
        *("seborrheic keratosis", "Seborrhoeic keratosis", "SK", "solar lentigo", "lichenoid keratosis", "dermatofibroma"),
        *("haemangioma", "actinic keratosis", "AK", "wart", "scar"),
    ],
)
def test_nature_of_finding__what_is_no_cancer_is_benign(word: str) -> None:
    assert nature_of_finding(word) == "benign"


@pytest.mark.parametrize("word", ["odd", "pending", "no melanoma", "nevus, cannot exclude melanoma", "melanoma?", "other"])
def test_nature_of_finding__is_never_guessed(word: str) -> None:
    assert nature_of_finding(word) is None
