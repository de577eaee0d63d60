"""``panderm synthesize``: synthetic twins of the deliveries."""

from __future__ import annotations

from pathlib import Path

import click

from panderm.cli.common import print_record, settings_option, stage_config
from panderm.core.layout import Layout


@click.command()
@click.argument("datasets", nargs=-1, metavar="[DATASET]...")
@click.option("--seed", type=int, help="Of everything drawn: same seed, same bytes.")
@click.option("--scale", help="tiny (tests), demo (about 2,350 images), or large (four times as many).")
@click.option("--delivery", type=int, help="Number of batches; 2 adds a second batch and leaves the first as it is.")
@click.option("--broken", multiple=True, metavar="DATASET", help="Write this one so that it fails its contract (repeatable).")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Landing folder [default: landing/].")
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a contact sheet to this PNG, nothing else."
)
@click.option("--hdf5", is_flag=True, default=None, help="ISIC 2024's images in train-image.hdf5 instead of a folder.")
@click.option("--layout", help="Another layout of the datasets: archive or isic2018 (ham10000), isic2019 (bcn20000).")
@click.option("--all", "everything", is_flag=True, help="Every dataset that has a twin, not only the demo's.")
@click.option("--trouble", is_flag=True, help="Also print where the planted trouble is.")
@settings_option
def command(
    datasets: tuple[str, ...],
    out: Path | None,
    sheet: Path | None,
    everything: bool,
    trouble: bool,
    assignments: tuple[str, ...],
    **chosen: object,
) -> None:
    """Write synthetic deliveries of DATASETs (mym, benchmarks/ham10000, ...; default: the demo's) in their native layouts.

    Each carries trouble on purpose (docs/deliveries.md). A folder that holds anybody else's files is never touched.
    """
    from panderm import catalog, synthesize

    layout = Layout.here()
    config = stage_config(synthesize.Config, "synthesize", layout, assignments)
    asked = {name: value for name, value in chosen.items() if value not in (None, ())}
    config = synthesize.Config.parse(config.model_dump() | asked, where="synthesize")
    rows = catalog.delivered_datasets() if everything else catalog.demo_datasets()
    keys = datasets or config.broken or tuple(row.key for row in rows)
    if sheet is not None:
        from panderm.twins.sheet import write_sheet

        write_sheet(sheet, [catalog.dataset(key) for key in keys], config.seed, config.scale)
        click.echo(f"contact sheet: {sheet}")
        return
    record = synthesize.run(config, keys, out or layout.root / "landing")
    print_record(record)
    if trouble:
        for key, planted in record.values["trouble"].items():
            for name, where in planted.items():
                click.echo(f"  {key}: {name}: {', '.join(where)}")
