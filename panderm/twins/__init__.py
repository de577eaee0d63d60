"""Twins: synthetic deliveries that stand for the real ones wherever these may not go, trouble included.

Belongs here: procedural drawing of skin, lesions and tissue (``canvas``, ``skin``, ``lesion``, ``eruption``, ``tissue``,
``picture``), and what a delivery of each native layout holds (``layouts``, ``tasks``, ``trouble``). Does not: writing
into a landing folder (``panderm/synthesize.py``), reading one (``panderm/readers``), anything learned.
Every picture is a pure function of its :class:`~panderm.twins.picture.Picture`: same value, same bytes.
"""
