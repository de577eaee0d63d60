"""The 28 benchmarks, one partition each; those that do not run yet refuse with the catalogue's sentence."""

import dagster as dg

from dagster_project.intake import audit_delivery, ingest_delivery, publish_delivery
from dagster_project.partitions import TASK_PARTITIONS
from dagster_project.resources import Workspace
from dagster_project.showing import STAGE_TAG
from panderm.core.layout import benchmark_dataset


@dg.asset(group_name="benchmarks", partitions_def=TASK_PARTITIONS, kinds={"parquet"}, tags={STAGE_TAG: "ingest"})
def benchmark_manifest(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """A benchmark's own images as shards, manifest and quarantine, in staging."""
    return ingest_delivery(workspace, benchmark_dataset(context.partition_key))


@dg.asset_check(asset=benchmark_manifest, partitions_def=TASK_PARTITIONS, blocking=True)
def benchmark_contract(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> dg.AssetCheckResult:
    """The benchmark's contract: what was seen and what was expected, rule by rule."""
    return audit_delivery(workspace, benchmark_dataset(context.partition_key))


@dg.asset(
    group_name="benchmarks",
    partitions_def=TASK_PARTITIONS,
    deps=[benchmark_manifest],
    kinds={"parquet"},
    tags={STAGE_TAG: "validate"},
)
def published_benchmark(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """A benchmark's data as splits and evaluation read them."""
    return publish_delivery(workspace, benchmark_dataset(context.partition_key))
