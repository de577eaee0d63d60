"""Studies of people who read images, with and without the model: answers tables to comparisons, tests and pictures.

Belongs here: the three designs of the paper, what their answers tables hold, synthetic examples of them. Does not: statistics
themselves (``panderm.evaluation``), or anything that runs a model. docs/reader_studies.md says how to use it.
"""
