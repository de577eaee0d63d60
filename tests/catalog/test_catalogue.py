"""The two tables of the catalogue against the published ones."""

from __future__ import annotations

import pytest

from panderm.catalog import (
    BENCHMARKS,
    SOURCES,
    benchmark,
    dataset,
    datasets,
    delivered_datasets,
    demo_datasets,
    runnable_benchmarks,
    source,
    table,
)
from panderm.core.errors import InputError

SOURCE_KEYS = ["mym", "hop", "mym_hop_derm", "mmt", "acemid_path", "nssi", "edu1", "edu2", "isic2024", "tcga_skcm", "uah89k"]
BENCHMARK_KEYS = [
    *("ham10000", "bcn20000", "mskcc", "hiba", "pad_ufes", "ddi", "derm7pt_d", "derm7pt_c", "isic2024", "ph2", "med_node"),
    *("dermnet", "fitzpatrick17k", "mmt_09", "mmt_74", "sd_128", "patch16", "cptac_cm", "sddi_alfred", "sddi1", "sddi2"),
    *("combinemel", "isic2018_seg", "ham10000_seg", "photodamage", "nevus_count", "tbp_risk", "tbp_screening"),
]


def test_sources__are_the_eleven_in_the_papers_order() -> None:
    assert [row.key for row in SOURCES] == SOURCE_KEYS
    assert all(row.reader and row.modalities and row.patient_namespace for row in SOURCES)


def test_benchmarks__are_the_28_in_the_papers_order() -> None:
    assert [row.key for row in BENCHMARKS] == BENCHMARK_KEYS
    assert [row.number for row in BENCHMARKS] == list(range(1, 29))
    assert all(row.task and row.classes_stated and row.images_stated and row.metric_stated for row in BENCHMARKS)


def test_benchmarks__figures_stay_as_published() -> None:
    stated = {row.key: row for row in BENCHMARKS}
    assert stated["tbp_risk"].split_stated == "by patient 360/40/80 (146,752/19,483/30,698)"
    assert stated["ph2"].modality == '"clinical" in the paper (dermoscopic by origin)'
    assert {row.key: row.images_stated for row in SOURCES}["acemid_path"] == "not stated"


def test_runnable__have_all_that_a_run_needs() -> None:
    assert {"ham10000", "pad_ufes", "isic2024"} <= {row.key for row in runnable_benchmarks()}
    for row in runnable_benchmarks():
        assert len(row.classes) >= 2
        if row.kind != "diagnosis":
            continue
        assert str(len(row.classes)) == row.classes_stated.split(" ")[0], "2 (from 3)"
        assert (row.metric == "auroc") == (len(row.classes) == 2), "weighted F1 for more than two classes, AUROC for two"


def test_melanoma__is_said_of_every_class_that_is_one() -> None:
    mixed = {"Melanoma Skin Cancer Nevi and Moles", "tumor_skin_melanoma_melanoma"}  # nevi too; tissue, not skin
    for row in BENCHMARKS:
        assert set(row.melanoma) <= set(row.classes)
        said = {name: name.lower() for name in row.classes if row.kind == "diagnosis"}
        named = {name for name, word in said.items() if word in ("mel", "lentigo maligna") or "melanoma" in word}
        assert named - mixed == set(row.melanoma), row.key
    assert len(benchmark("fitzpatrick17k").melanoma) == 4


def test_namespaces__are_shared_where_people_are() -> None:
    assert source("mym").patient_namespace == source("hop").patient_namespace == source("mym_hop_derm").patient_namespace
    assert source("isic2024").patient_namespace == benchmark("isic2024").patient_namespace
    assert source("mmt").patient_namespace != source("nssi").patient_namespace


def test_demo__is_the_sources_and_three_tasks() -> None:
    keys = [row.key for row in demo_datasets()]
    assert keys == [*SOURCE_KEYS, "benchmarks/ham10000", "benchmarks/pad_ufes", "benchmarks/isic2024"]
    assert set(keys) <= {row.key for row in datasets()} <= {row.key for row in delivered_datasets()}


def test_dataset__knows_sources_and_benchmarks_apart() -> None:
    assert dataset("isic2024").classes == ()
    assert dataset("benchmarks/isic2024").classes == ("benign", "malignant")
    assert dataset("benchmarks/pad_ufes").modalities == ("clinical",)
    assert len(datasets()) == 11 + len(runnable_benchmarks())


@pytest.mark.parametrize(
    ("look_up", "key", "sentence"),
    [
        (source, "mim", "unknown source 'mim'; allowed: mym, hop"),
        (benchmark, "ham", "unknown task 'ham'; allowed: ham10000"),
        (dataset, "nowhere", "unknown source 'nowhere'"),
    ],
)
def test_look_up__refuses_in_one_sentence(look_up: object, key: str, sentence: str) -> None:
    assert callable(look_up)
    with pytest.raises(InputError, match=sentence):
        look_up(key)


def test_look_up__refuses_a_listed_task_that_nothing_reads_or_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [row.model_copy(update={"reader": ""}) if row.key == "ddi" else row for row in table.BENCHMARKS]
    monkeypatch.setattr(table, "BENCHMARKS", tuple(listed))
    monkeypatch.setattr(table, "RUNNING_KINDS", ("diagnosis",))
    for key in ("cptac_cm", "ddi"):
        with pytest.raises(InputError, match=f"task '{key}' is listed but not yet runnable; runnable: ham10000"):
            benchmark(key)
    with pytest.raises(InputError, match="task 'ddi' is listed but not yet runnable"):
        dataset("benchmarks/ddi")
    assert dataset("benchmarks/cptac_cm").reader == "slides", "what can be read can be delivered"
