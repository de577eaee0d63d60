"""The HTML report of a workspace: one file, no network, pictures inside.

Belongs here: reading what the stages left and laying it out. Does not: computing a figure; every number shown was written
by a stage and is only quoted.
"""

from panderm.reporting.write import write_report

__all__ = ["write_report"]
