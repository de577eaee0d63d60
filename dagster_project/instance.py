"""DAGSTER_HOME: which storage, and tables created once before anything runs in parallel."""

import fcntl
import os
from pathlib import Path

import dagster as dg

from panderm.core.files import write_bytes

HOME_VARIABLE = "DAGSTER_HOME"
POSTGRES_VARIABLE = "DAGSTER_PG_URL"
_YAML = Path(__file__).parents[1] / "ops" / "dagster"


def prepare_home(root: Path) -> Path:
    """Make ``$DAGSTER_HOME`` (by default ``<root>/.dagster_home``) ready and return it.

    ``dagster.yaml`` has no conditionals, so one of two files is copied: Postgres when ``DAGSTER_PG_URL`` is set, else
    sqlite. The tables are created here, under a lock: two processes on a fresh sqlite home damage it for good
    (``alembic_version has more than one head``).
    """
    home = Path(os.environ.get(HOME_VARIABLE) or root / ".dagster_home").resolve()
    home.mkdir(parents=True, exist_ok=True)
    os.environ[HOME_VARIABLE] = str(home)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    kind = "postgres" if os.environ.get(POSTGRES_VARIABLE) else "sqlite"
    with (home / "prepare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_bytes(home / "dagster.yaml", (_YAML / f"dagster.{kind}.yaml").read_bytes())
        with dg.DagsterInstance.get() as instance:
            _touch_tables(instance)
    return home


def _touch_tables(instance: dg.DagsterInstance) -> None:
    """Open run, event and schedule storage once; each creates its tables on first use."""
    instance.get_run_records(limit=1)
    instance.fetch_materializations(dg.AssetKey("none"), limit=1)
    instance.all_instigator_state()
