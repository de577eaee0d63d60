"""Studies: of a task, a partition a task; of encoders, a partition an arm and one asset that lays them side by side.

Nothing else waits for them, and the plan does not run them.
"""

import dagster as dg

from dagster_project.defs.corpus import corpus
from dagster_project.defs.pretraining import GPU_POOL, TRAINING_RETRIES, encoder
from dagster_project.defs.tasks import evaluation, task_model
from dagster_project.partitions import STUDY_PARTITIONS, TASK_PARTITIONS
from dagster_project.resources import Workspace
from dagster_project.showing import plainly, result, telling
from panderm.catalog import benchmark
from panderm.studies.names import ENCODER_STUDIES, STUDIES

_WORDS = STUDIES | ENCODER_STUDIES

WAITS_FOR: dict[str, tuple[dg.AssetsDefinition, ...]] = {
    "label_efficiency": (corpus, encoder),
    "degradation": (task_model,),
    "subgroups": (evaluation,),
    "external": (corpus, encoder),
    "protocols": (corpus, encoder),
}
"""What each study of ``panderm.studies.running`` reads."""

TRAINS = "protocols"  # a network; the others at most probe


def _asset(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"study_{name}",
        group_name="studies",
        partitions_def=TASK_PARTITIONS,
        deps=list(WAITS_FOR[name]),
        description=_WORDS[name],
        pool=GPU_POOL if name == TRAINS else None,
        kinds={"parquet"},
    )
    def study(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
        from panderm.studies.running import given_for, run_study, study_config

        layout, task = workspace.layout, context.partition_key
        with plainly():
            given = given_for(benchmark(task), layout, context.log.info)
            record = run_study(name, study_config(name, layout), given)
        home = layout.study(name) / task
        table = dg.MetadataValue.md((home / f"{name}.md").read_text())
        return result(record, *sorted(home.glob("*.png")), table=table)

    return study


def _arm(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"encoder_of_{name}",
        group_name="studies",
        partitions_def=STUDY_PARTITIONS[name],
        deps=[corpus],
        description=f"One encoder of the study {name}, trained by torchrun in a process of its own.",
        pool=GPU_POOL,
        retry_policy=TRAINING_RETRIES,
        kinds={"pytorch"},
    )
    def arm(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
        from panderm.studies import encoders
        from panderm.studies.running import encoder_plan, study_config

        layout, key = workspace.layout, context.partition_key
        folders = encoders.folders_of(name, layout)
        with plainly():
            plan = encoder_plan(name, study_config(name, layout), layout)
            record = encoders.train(plan, key, folders, telling(context.log))
        return result(record, folders.out / "runs" / key / "curves.png")

    return arm


def _comparison(name: str, arms: dg.AssetsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"study_{name}",
        group_name="studies",
        deps=[dg.AssetDep(arms, partition_mapping=dg.AllPartitionMapping())],
        description=_WORDS[name],
        kinds={"parquet"},
    )
    def study(workspace: Workspace) -> dg.MaterializeResult[None]:
        from panderm.studies import encoders
        from panderm.studies.running import encoder_plan, study_config

        layout = workspace.layout
        folders = encoders.folders_of(name, layout)
        with plainly():
            plan = encoder_plan(name, study_config(name, layout), layout)
            record = encoders.compare(plan, encoders.finished(plan, folders), folders)
        table = dg.MetadataValue.md((folders.out / f"{name}.md").read_text())
        return result(record, folders.out / f"{name}.png", table=table)

    return study


study_label_efficiency = _asset("label_efficiency")
study_degradation = _asset("degradation")
study_subgroups = _asset("subgroups")
study_external = _asset("external")
study_protocols = _asset("protocols")
encoder_of_modalities = _arm("modalities")
study_modalities = _comparison("modalities", encoder_of_modalities)
encoder_of_corpus_size = _arm("corpus_size")
study_corpus_size = _comparison("corpus_size", encoder_of_corpus_size)
