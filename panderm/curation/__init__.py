"""Which published images belong together, and which may be used for what: duplicates, splits, the corpus.

Belongs here: decisions on rows of published manifests. Does not: reading deliveries, labels' meaning, training.
"""
