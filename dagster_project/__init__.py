"""Dagster over ``panderm``: assets, checks, partitions, jobs, sensors, schedules, and the demo: these assets run headless.

Belongs here: what schedules, observes and reports. Does not: anything that reads an image, fits a model or decides
a hand-over; an asset is its inputs, one call of the library, and what the call said.

- ``defs/``: one module per asset group, then jobs and automation; everything in it is loaded by ``definitions.py``.
- ``resources.py``: the workspace (paths and settings) and DVC; ``showing.py``: records as metadata; ``plan.py``: the order
  of jobs; ``instance.py``: DAGSTER_HOME; ``demo.py`` and ``ui.py``: what ``make demo`` and ``make ui`` start.

Modules of heavy packages (torch, great_expectations, onnx) are imported inside asset functions: the code location has to
load in under five seconds.
"""
