"""The 11 sources, one partition each: delivery -> contract -> published data (write, audit, publish)."""

import dagster as dg

from dagster_project.intake import audit_delivery, ingest_delivery, publish_delivery
from dagster_project.partitions import SOURCE_PARTITIONS
from dagster_project.resources import Workspace
from dagster_project.showing import STAGE_TAG


@dg.asset(group_name="sources", partitions_def=SOURCE_PARTITIONS, kinds={"parquet"}, tags={STAGE_TAG: "ingest"})
def delivery_manifest(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """A source's delivery as shards, manifest and quarantine, in staging; nobody downstream reads it."""
    return ingest_delivery(workspace, context.partition_key)


@dg.asset_check(asset=delivery_manifest, partitions_def=SOURCE_PARTITIONS, blocking=True)
def contract(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> dg.AssetCheckResult:
    """The source's contract: what was seen and what was expected, rule by rule."""
    return audit_delivery(workspace, context.partition_key)


@dg.asset(
    group_name="sources",
    partitions_def=SOURCE_PARTITIONS,
    deps=[delivery_manifest],
    kinds={"parquet"},
    tags={STAGE_TAG: "validate"},
)
def published_source(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """A source's data as everything downstream reads them; a bad delivery leaves the last good version in place."""
    return publish_delivery(workspace, context.partition_key)
