"""Which resources the assets get."""

import dagster as dg

from dagster_project.resources import Dvc, Workspace


@dg.definitions
def resources() -> dg.Definitions:
    """Return the workspace named by the environment, and DVC in it."""
    workspace = Workspace()
    return dg.Definitions(resources={"workspace": workspace, "dvc": Dvc(workspace=workspace)})
