"""Native layouts: one module per layout, each turning a landing folder into rows without opening an image.

Belongs here: file names, column names and value quirks of deliveries. Does not: decoding, contracts, anything of tasks.
A reader is a module ``panderm/readers/<name>.py`` with ``read(dataset, landing) -> Delivery``; it never raises for what
a delivery contains: what it cannot use becomes a reject with a reason.
"""

from panderm.readers.base import Delivery, read

__all__ = ["Delivery", "read"]
