"""What closes a run of everything: data and weights recorded by DVC, one real answer from Triton, the report."""

import dagster as dg

from dagster_project.asking import ANSWER, ask_triton
from dagster_project.defs.corpus import corpus
from dagster_project.defs.pretraining import encoder
from dagster_project.defs.tasks import release, verdict
from dagster_project.recording import finished, write_tasks
from dagster_project.resources import Dvc, Workspace
from dagster_project.showing import plainly, table
from panderm.core.files import read_json


@dg.asset(group_name="operations", deps=[corpus, encoder, verdict, release], pool="dvc", kinds={"dvc"})
def dvc_snapshot(workspace: Workspace, dvc: Dvc) -> dg.MaterializeResult[None]:
    """`data/` in data.dvc and every finished stage in dvc.lock, so that `dvc status` is clean and `dvc repro` idle."""
    found = finished(workspace.layout)
    write_tasks(workspace.layout, found)
    dvc.call("add", "data")
    if found.stages:
        dvc.call("commit", "--force", *found.stages)
    status, data = dvc.status(), dvc.data()
    return dg.MaterializeResult(
        metadata={
            "data md5": data["md5"],
            "data files": data["nfiles"],
            "data bytes": data["size"],
            "stages recorded": len(found.stages),
            "dvc status": table({"target": name, "change": change} for name, change in status.items()) if status else "clean",
        },
        data_version=dg.DataVersion(data["md5"]),
    )


@dg.asset(group_name="operations", deps=[release], kinds={"triton"})
def serving_check(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    """One test image of each released task, answered by a Triton server that is started for it on loopback."""
    with plainly():
        answers = ask_triton(workspace.layout, on_line=context.log.info)
    return dg.MaterializeResult(metadata={"answers": table(answers), "tasks asked": len(answers)})


@dg.asset(group_name="operations", deps=[dvc_snapshot, serving_check], kinds={"html"})
def report(workspace: Workspace) -> dg.MaterializeResult[None]:
    """One HTML page of everything in the workspace; it opens offline."""
    from panderm.reporting import write_report

    layout = workspace.layout
    answer = layout.work / ANSWER
    with plainly():
        path = write_report(layout, read_json(answer) if answer.is_file() else None)
    return dg.MaterializeResult(metadata={"report": dg.MetadataValue.path(path), "bytes": path.stat().st_size})
