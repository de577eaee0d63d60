"""The pretraining corpus and the tasks' splits."""

import dagster as dg

from dagster_project.defs.benchmarks import published_benchmark
from dagster_project.defs.sources import published_source
from dagster_project.resources import Workspace
from dagster_project.showing import STAGE_TAG, listing, plainly, result


@dg.asset(group_name="corpus", deps=[published_source, published_benchmark], kinds={"parquet"}, tags={STAGE_TAG: "curate"})
def corpus(workspace: Workspace) -> dg.MaterializeResult[None]:
    """Everything published, without duplicates and without a benchmark's image; and each task's disjoint splits."""
    from panderm import curate

    layout = workspace.layout
    with plainly():
        record = curate.run(workspace.config(curate), layout.data, layout.corpus, layout.artifacts / "splits")
    warnings = [f"{task}: {warning}" for task, told in record.values.get("warnings", {}).items() for warning in told]
    refused = record.values.get("refused", {}).values()
    return result(record, layout.corpus / "corpus.png", warnings=listing(warnings, "none"), refused=listing(refused, "none"))
