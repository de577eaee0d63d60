"""The encoder."""

import dagster as dg

from dagster_project.defs.corpus import corpus
from dagster_project.resources import Workspace
from dagster_project.showing import STAGE_TAG, listing, plainly, result, telling

GPU_POOL = "gpu"  # one training at a time per instance: concurrency.pools.default_limit in ops/dagster/
# Two more attempts, as an out-of-memory kill or a lost device rarely strikes thrice; each resumes from the last checkpoint,
# after a second or two in which the dead process gives its memory back.
TRAINING_RETRIES = dg.RetryPolicy(max_retries=2, delay=1, backoff=dg.Backoff.EXPONENTIAL)


@dg.asset(
    group_name="pretraining",
    deps=[corpus],
    pool=GPU_POOL,
    retry_policy=TRAINING_RETRIES,
    kinds={"pytorch"},
    tags={STAGE_TAG: "pretrain"},
)
def encoder(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """The pretrained encoder; torchrun trains it in a process of its own, whose lines appear in this run's log."""
    from panderm import pretrain

    layout = workspace.layout
    with plainly():
        record = pretrain.run(
            workspace.config(pretrain),
            layout.corpus,
            layout.data,
            layout.pretrained,
            layout.work,
            on_line=telling(context.log),
            splits=layout.splits,
        )
    # Floats are plotted over materializations by the UI: losses by modality, collapse signs, the probe.
    return result(record, layout.pretrained / "curves.png", warnings=listing(record.values.get("warnings", []), "none"))
