"""A delivery's three steps, for sources and benchmarks alike: ingest into staging, audit, publish."""

import dagster as dg

from dagster_project.resources import Workspace
from dagster_project.showing import plainly, result, table
from panderm.catalog import dataset


def ingest_delivery(workspace: Workspace, key: str) -> dg.MaterializeResult[None]:
    """Ingest ``landing/<key>`` into staging and report what came in and what is in quarantine."""
    from panderm import ingest

    layout = workspace.layout
    with plainly():
        record = ingest.run(workspace.config(ingest), dataset(key), layout.landing(key), layout.staging(key))
    return result(record, reasons=_reasons(workspace, key))


def _reasons(workspace: Workspace, key: str) -> dg.JsonMetadataValue:
    from panderm.core.tables import QUARANTINE, read_table

    quarantine = read_table(workspace.layout.staging(key) / "quarantine.parquet", QUARANTINE)
    return dg.MetadataValue.json({str(k): int(n) for k, n in quarantine["reason"].value_counts().sort_index().items()})


def audit_delivery(workspace: Workspace, key: str) -> dg.AssetCheckResult:
    """Hold the staged manifest against its contract; the failing rules are the description, all rules the table."""
    from panderm import validate

    with plainly():
        audit = validate.audit(workspace.config(validate), dataset(key), workspace.layout.staging(key))
    broken = [rule for rule in audit.rules if not rule.passed]
    critical = [rule for rule in broken if rule.severity == "critical"]
    rest = f"; warned: {', '.join(rule.name for rule in broken)}" if broken else ""
    return dg.AssetCheckResult(
        passed=audit.passed,
        description="; ".join(f"{rule.name}: {rule.seen}, expected {rule.expected}" for rule in critical)
        or f"{len(audit.rules) - len(broken)} of {len(audit.rules)} rules hold{rest}",
        metadata={
            "rules": table(
                {"rule": r.name, "expected": r.expected, "seen": r.seen, "holds": r.passed, "severity": r.severity}
                for r in audit.rules
            ),
            "failed": len(critical),
            "warned": len(broken) - len(critical),
            "page": dg.MetadataValue.path(workspace.layout.staging(key) / "contract.html"),
        },
    )


def publish_delivery(workspace: Workspace, key: str) -> dg.MaterializeResult[None]:
    """Publish what passed; without a passing contract for exactly the staged manifest the library refuses by itself."""
    from panderm import validate

    layout = workspace.layout
    with plainly():
        record = validate.publish(dataset(key), layout.staging(key), layout.published(key))
    return result(record)
