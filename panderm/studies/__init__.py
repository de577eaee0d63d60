"""Studies: questions that take several runs of stages, e.g. which teacher to pretrain with.

Belongs here: running stages under settings that differ in one thing, each run in a folder of its own, and laying the results
side by side. Does not: anything a single run needs. Nothing here is part of the pipeline: no stage, no DVC output, no gate.
"""
