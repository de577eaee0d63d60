"""Words of a pathologist's report -> benign or malignant, as total-body exports carry them beside a lesion.

What the ISIC archive has a word for counts as there (:mod:`panderm.readers.isic_terms`); here stand the words it lacks: short
forms, subtypes, British spelling. Actinic keratosis is benign here: it is no cancer, and ISIC 2024's ``target`` counts as
malignant only what its pathologists called malignant. Anything else is nobody's guess and stays unknown.
"""

from __future__ import annotations

import re

from panderm.readers.class_list import key
from panderm.readers.isic_terms import Nature, nature_of, of_word

_SPELLING = (("naev", "nev"), ("haem", "hem"), ("rrhoeic", "rrheic"), ("tumour", "tumor"))

_MELANOMA = (
    *("invasive", "in situ", "superficial spreading", "nodular", "lentigo maligna", "acral lentiginous", "amelanotic"),
    *("desmoplastic", "metastatic", "malignant"),
)
_BCC = ("nodular", "superficial", "infiltrating", "infiltrative", "micronodular", "morphoeic", "morpheaform", "pigmented")
_SCC = ("invasive", "in situ", "well differentiated", "moderately differentiated", "poorly differentiated")
_NEVUS = (
    *("benign", "melanocytic", "junctional", "compound", "intradermal", "dermal", "dysplastic", "atypical", "lentiginous"),
    *("blue", "congenital", "halo", "spitz", "reed", "common", "acral", "recurrent"),
)
_MALIGNANT = (
    *("lentigo maligna", "mis", "scc in situ", "squamous cell carcinoma in situ", "intraepidermal carcinoma", "iec"),
    *("bowen disease", "bowens disease", "bowen s disease", "keratoacanthoma", "ka", "merkel cell carcinoma", "mcc"),
    *("dermatofibrosarcoma protuberans", "dfsp"),
    *(f"{kind} melanoma" for kind in _MELANOMA),
    *(f"{kind} {name}" for kind in _BCC for name in ("bcc", "basal cell carcinoma")),
    *(f"{kind} {name}" for kind in _SCC for name in ("scc", "squamous cell carcinoma")),
)
_BENIGN = (
    *("actinic keratosis", "solar keratosis", "ak", "benign keratosis", "keratosis", "blk", "lentigo", "lentigo simplex"),
    *("ephelis", "freckle", "cherry angioma", "wart", "verruca", "viral wart", "skin tag", "acrochordon", "scar", "cyst"),
    *("epidermal cyst", "epidermoid cyst", "sebaceous hyperplasia", "neurofibroma", "clear cell acanthoma", "fibrous papule"),
    *("irritated seborrheic keratosis"),
    *(f"{kind} nevus" for kind in _NEVUS),
)
_WORDS: dict[str, Nature] = {**dict.fromkeys(_BENIGN, "benign"), **dict.fromkeys(_MALIGNANT, "malignant")}


def nature_of_finding(word: str) -> Nature | None:
    """Return what a finding is, None where nobody can tell; ``nevus, cannot exclude melanoma`` is such a word."""
    spelt = word.casefold()
    for british, american in _SPELLING:
        spelt = spelt.replace(british, american)
    if found := _WORDS.get(re.sub(r" nevi$", " nevus", key(spelt))):
        return found
    if nature := nature_of(spelt):
        return nature
    return None if "," in spelt else of_word(spelt).nature
