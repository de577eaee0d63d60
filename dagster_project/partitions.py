"""The two partitions of the pipeline: the 11 sources, and the 28 benchmarks."""

import dagster as dg

from panderm.catalog import BENCHMARKS, SOURCES

SOURCE_PARTITIONS = dg.StaticPartitionsDefinition([row.key for row in SOURCES])
# All 28, also those that do not run yet: they stand in the UI and refuse with the catalogue's sentence.
TASK_PARTITIONS = dg.StaticPartitionsDefinition([row.key for row in BENCHMARKS])
