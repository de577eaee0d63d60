"""The 11 sources and the 28 benchmarks as two tables of data (``sources.yaml``, ``benchmarks.yaml``).

A new source or task is a row there, and a reader only where its layout is new. No code path names a source or a task.
"""

from panderm.catalog.table import (
    BENCHMARKS,
    SOURCES,
    Benchmark,
    Dataset,
    Modality,
    Source,
    benchmark,
    dataset,
    datasets,
    delivered_datasets,
    demo_datasets,
    runnable_benchmarks,
    source,
)

__all__ = [
    "BENCHMARKS",
    "SOURCES",
    "Benchmark",
    "Dataset",
    "Modality",
    "Source",
    "benchmark",
    "dataset",
    "datasets",
    "delivered_datasets",
    "demo_datasets",
    "runnable_benchmarks",
    "source",
]
