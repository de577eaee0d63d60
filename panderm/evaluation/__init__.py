"""Figures and what they are worth: metrics, clustered bootstrap, paired comparisons, verdicts, plots.

Belongs here: anything between a predictions table and a statement about it. Does not: models, training, thresholds of
a task (the gate's configuration holds those).
"""
