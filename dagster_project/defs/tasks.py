"""The tasks, one partition each: model -> evaluation -> verdict -> bundle -> release."""

from collections.abc import Iterator

import dagster as dg

from dagster_project.defs.benchmarks import published_benchmark
from dagster_project.defs.corpus import corpus
from dagster_project.defs.pretraining import GPU_POOL, TRAINING_RETRIES, encoder
from dagster_project.partitions import TASK_PARTITIONS
from dagster_project.resources import Workspace
from dagster_project.showing import STAGE_TAG, plainly, result, table
from panderm.catalog import benchmark
from panderm.evaluation.verdict import load_verdict


@dg.asset(
    group_name="tasks",
    partitions_def=TASK_PARTITIONS,
    deps=[encoder, corpus, published_benchmark],
    pool=GPU_POOL,
    retry_policy=TRAINING_RETRIES,
    kinds={"pytorch"},
    tags={STAGE_TAG: "finetune"},
)
def task_model(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """A linear head on frozen features, or a fine-tuned network."""
    from panderm import finetune

    layout, key = workspace.layout, context.partition_key
    with plainly():
        record = finetune.run(
            workspace.config(finetune),
            benchmark(key),
            layout.split(key),
            layout.data,
            layout.pretrained,
            layout.features,
            layout.model(key),
            on_line=context.log.info,
        )
    return result(record, layout.model(key) / "curves.png")


@dg.asset(
    group_name="tasks", partitions_def=TASK_PARTITIONS, deps=[task_model], kinds={"parquet"}, tags={STAGE_TAG: "evaluate"}
)
def evaluation(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """Predictions on the test split, metrics with patient-clustered intervals, pictures."""
    from panderm import evaluate
    from panderm.serving.repository import champion_bundle

    layout, key = workspace.layout, context.partition_key
    out = layout.evaluation(key)
    with plainly():
        record = evaluate.run(
            workspace.config(evaluate),
            benchmark(key),
            layout.split(key),
            layout.data,
            layout.pretrained,
            layout.model(key),
            layout.features,
            champion_bundle(key, layout.triton_repo),
            out,
        )
    return result(record, *sorted(out.glob("*.png")))


@dg.asset(group_name="tasks", partitions_def=TASK_PARTITIONS, deps=[evaluation], kinds={"json"}, tags={STAGE_TAG: "gate"})
def verdict(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """Pass, fail or insufficient evidence, bound by hash to the model, the test split and the preprocessing."""
    from panderm import gate as stage

    layout, key = workspace.layout, context.partition_key
    with plainly():
        record = stage.run(
            workspace.config(stage), benchmark(key), layout.evaluation(key), layout.model(key), layout.verdict(key)
        )
    return result(record)


@dg.asset_check(asset=verdict, partitions_def=TASK_PARTITIONS, blocking=True)
def gate(context: dg.AssetCheckExecutionContext, workspace: Workspace) -> dg.AssetCheckResult:
    """Only a pass goes on; too little evidence holds a model back like a failure does. The reasons are in words."""
    with plainly():
        written = load_verdict(workspace.layout.verdict(context.partition_key))
    return dg.AssetCheckResult(
        passed=written.passed,
        description=f"{written.outcome.replace('_', ' ')}: {' '.join(written.reasons)}",
        metadata={"criteria": table(criterion.model_dump(mode="json") for criterion in written.criteria)},
    )


@dg.asset(
    group_name="tasks",
    partitions_def=TASK_PARTITIONS,
    deps=[verdict],
    kinds={"onnx"},
    tags={STAGE_TAG: "export"},
    output_required=False,
)
def bundle(context: dg.AssetExecutionContext, workspace: Workspace) -> Iterator[dg.MaterializeResult[None]]:
    """ONNX with the normalisation inside and measured parity; refused without a passing verdict for this very model."""
    from panderm import export
    from panderm.tasks.kinds import exported

    layout, key = workspace.layout, context.partition_key
    if not exported(benchmark(key)):
        context.log.info("%s is judged, not served: it ends with its verdict", key)
        return
    with plainly():
        record = export.run(
            workspace.config(export),
            benchmark(key),
            layout.split(key),
            layout.data,
            layout.model(key),
            layout.pretrained,
            layout.evaluation(key),
            layout.verdict(key),
            layout.work,
            layout.bundle(key),
        )
    yield result(record)


@dg.asset(group_name="tasks", partitions_def=TASK_PARTITIONS, deps=[bundle], kinds={"triton"}, tags={STAGE_TAG: "release"})
def release(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """The next version in the Triton model repository, in one rename; the former version stays for `panderm rollback`."""
    from panderm import release as stage

    layout, key = workspace.layout, context.partition_key
    with plainly():
        record = stage.run(workspace.config(stage), benchmark(key), layout.bundle(key), layout.triton_repo)
    return result(record)
