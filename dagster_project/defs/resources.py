"""What the assets are given, and how the steps of a run are executed."""

import dagster as dg

from dagster_project.resources import Dvc, Workspace


@dg.definitions
def resources() -> dg.Definitions:
    """Return the workspace named by the environment, DVC in it, and the executor.

    A run is a process of its own already, and training starts another; so the steps of one run share its process. A
    process a step costs 2.5 s each on two cores and wins nothing, as the steps of a run wait for one another.
    """
    workspace = Workspace()
    return dg.Definitions(
        resources={"workspace": workspace, "dvc": Dvc(workspace=workspace)},
        executor=dg.in_process_executor,
    )
