"""The partitions: the 11 sources and the 28 benchmarks of the pipeline, and the arms of the studies of encoders."""

import dagster as dg

from panderm.catalog import BENCHMARKS, SOURCES
from panderm.studies.names import ARMS

SOURCE_PARTITIONS = dg.StaticPartitionsDefinition([row.key for row in SOURCES])
# All 28, also those that do not run yet: they stand in the UI and refuse with the catalogue's sentence.
TASK_PARTITIONS = dg.StaticPartitionsDefinition([row.key for row in BENCHMARKS])
STUDY_PARTITIONS = {name: dg.StaticPartitionsDefinition(list(arms)) for name, arms in ARMS.items()}
