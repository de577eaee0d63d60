from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import dagster as dg

from dagster_project.defs import studies
from dagster_project.resources import Workspace
from panderm.core.layout import Layout
from panderm.core.tables import CORPUS, write_table
from panderm.studies.names import ARMS, ENCODER_STUDIES, STUDIES

World = Callable[..., SimpleNamespace]


def run(asset: dg.AssetsDefinition, world: SimpleNamespace) -> dg.ExecuteInProcessResult:
    resources = {"workspace": Workspace(root=str(world.root))}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [asset], partition_key=world.task.key, resources=resources, instance=instance, raise_on_error=False
        )


def test_studies__every_one_has_an_asset_that_says_what_it_reads() -> None:
    assert set(studies.WAITS_FOR) == set(STUDIES)
    assert all(hasattr(studies, f"study_{name}") for name in [*STUDIES, *ENCODER_STUDIES])
    assert set(ARMS) == set(ENCODER_STUDIES)


def test_study__leaves_its_folder_and_shows_table_and_picture(make_task_world: World) -> None:
    world = make_task_world(images=60)
    layout = Layout(world.root)
    layout.params.write_text("studies:\n  label_efficiency: {fractions: [0.5, 1.0], draws: 2}\n")
    done = run(studies.study_label_efficiency, world)
    assert done.success
    (event,) = done.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["points"].value == 5
    assert "| mean of draws | 50% |" in str(metadata["table"].value)
    assert "data:image/png" in str(metadata["picture"].value)
    assert (layout.study("label_efficiency") / "isic2024" / "record.json").is_file()


def test_study__of_another_kind_of_task_is_refused_in_one_sentence(make_task_world: World) -> None:
    done = run(studies.study_external, make_task_world(images=60))
    assert not done.success
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert str(failure.description).startswith("study external is not for isic2024; it is for ham10000, bcn20000")


def test_study_of_encoders__without_trained_arms_says_what_to_do(make_task_world: World) -> None:
    world = make_task_world(images=30)
    layout = Layout(world.root)
    rows = world.frame[["image_id", "shard", "offset", "nbytes"]].assign(dataset="mmt", modality=["tbp", "clinical"] * 15)
    write_table(layout.corpus / "corpus.parquet", rows.reindex(columns=CORPUS.names), CORPUS)
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"workspace": Workspace(root=str(world.root))}
        done = dg.materialize([studies.study_modalities], resources=resources, instance=instance, raise_on_error=False)
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert str(failure.description) == (
        "study modalities compares whole corpus with another, but trained are: none; materialise the other arms"
    )
