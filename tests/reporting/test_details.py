from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from panderm.catalog import BENCHMARKS, Benchmark, benchmark
from panderm.reporting.details import DETAILS, detail_tables, own_figures
from panderm.reporting.table import Table

ReportOf = Callable[[str], dict[str, Any]]
ALWAYS = {"task", "classes", "metric", "value", "low", "high", "n", "groups", "others"}


def table(report: dict[str, Any], title: str) -> Table:
    found = [one for one in detail_tables(benchmark(report["task"]), report) if one.title.startswith(title)]
    assert len(found) == 1, f"{len(found)} tables begin with {title!r}"
    return found[0]


def row(of: Table, name: str) -> dict[str, str]:
    cells = next(row for row in of.rows if row[0] == name)
    return dict(zip(of.columns, cells, strict=True))


def test_details__whatever_a_kind_tells_has_its_tables(each_task: Benchmark, report_of: ReportOf) -> None:
    report = report_of(each_task.key)
    assert set(report) - ALWAYS <= set(DETAILS), "a kind tells something that the page does not show; add a row to DETAILS"
    tables = detail_tables(each_task, report)
    assert not [note for one in tables for note in one.notes if "damaged" in note]
    assert all(len(cells) == len(one.columns) for one in tables for cells in one.rows)
    text = str(tables)
    assert "None" not in text
    assert "nan" not in text.split()
    shown = {name for one in tables for name in one.quotes} | set(report["others"])
    assert set(report["others"]) <= shown


@pytest.mark.parametrize("key", ["sddi2", "sddi_alfred", "cptac_cm", "combinemel"])
def test_folds__every_fold_stands_with_mean_and_error(key: str, report_of: ReportOf) -> None:
    report = report_of(key)
    folds = row(table(report, "Fold by fold"), "AUROC")
    assert len(folds) == benchmark(key).folds + 2
    assert folds["fold 1"] == f"{report['folds']['auroc'][0]:.3f}"
    half = report["folds"]["high"] - report["folds"]["mean"]
    assert folds["mean ± 1.96 SE"] == f"{report['folds']['mean']:.3f} ± {half:.3f}"


def test_folds__a_fold_without_figure_is_a_dash_and_says_why(report_of: ReportOf) -> None:
    report = report_of("cptac_cm")
    report["folds"] = {"auroc": [0.9, None], "reason": "fold 2 of 2 has no figure"}
    folds = table(report, "Fold by fold")
    assert folds.rows == (("AUROC", "0.900", "–", "–"),)
    assert folds.notes == ("fold 2 of 2 has no figure",)


def test_seeds__dice_and_jaccard_of_each_seed(report_of: ReportOf) -> None:
    report = report_of("ham10000_seg")
    seeds = table(report, "Seed by seed")
    told = report["seeds"]["jaccard"]
    assert row(seeds, "Jaccard")["seed 5"] == f"{told['by_seed'][4]:.3f}"
    assert row(seeds, "Jaccard")["mean ± 1.96 SE"] == f"{told['mean']:.3f} ± {1.96 * told['standard_error']:.3f}"
    assert [cells[0] for cells in seeds.rows] == ["Dice", "Jaccard"]
    report["seeds"] = {"dice": {"by_seed": [0.9], "mean": 0.9, "standard_error": None}}
    assert table(report, "Seed by seed").notes == ("One seed: how far seeds are apart is not known.",)


def test_served__the_network_that_is_served_stands_beside_the_means(report_of: ReportOf) -> None:
    report = report_of("ham10000_seg")
    served, others = table(report, "The network that is served"), report["others"]
    told = row(served, "Jaccard of the network that is served")["value (interval)"]
    assert told == "{value:.3f} ({low:.3f} to {high:.3f})".format(**others["jaccard_served"])
    assert others["jaccard_served"]["value"] != report["value"]
    assert served.notes[0].startswith("Seed 3, chosen by its Jaccard on the validation split")
    assert served.notes[1] == "Its mask does not touch the lesion on 0 of 60 (0 %) test images."


def test_change__malignant_change_and_pixel_difference_stand_beside_the_network(report_of: ReportOf) -> None:
    report = report_of("sddi2")
    further = table(report, "Further figures")
    known = report["others"]["auroc_malignant_change"]
    told = row(further, "AUROC for malignant change")["value (interval)"]
    assert told == f"{known['value']:.3f} ({known['low']:.3f} to {known['high']:.3f})"
    bare = row(further, "AUROC of the pixel difference alone, without a network")["value (interval)"]
    assert bare.startswith(f"{report['others']['auroc_pixel_difference']['value']:.3f} (")
    assert row(table(report, "Image pairs"), "of these registered")["number"] == "54 of 60 (90 %)"


def test_sequences__first_correct_time_point_adds_up(report_of: ReportOf) -> None:
    first = table(report_of("sddi_alfred"), "First correct time point")
    assert first.rows == (
        ("image 1", "0", "0 of 10 (0 %)"),
        ("image 2", "9", "9 of 10 (90 %)"),
        ("image 3", "0", "9 of 10 (90 %)"),
        ("never", "1", "–"),
    )
    assert first.notes[0].startswith("20 sequences, 10 of a melanoma")


def test_slides__tiles_a_slide_and_the_figure_over_all_folds(report_of: ReportOf) -> None:
    report = report_of("cptac_cm")
    pooled = row(table(report, "Further figures"), "AUROC, all folds together")["value (interval)"]
    assert pooled.startswith(f"{report['others']['auroc_pooled']['value']:.3f} (")
    assert row(table(report, "Tiles"), "a slide, on average")["number"] == "200"


def test_survival__cox_log_rank_and_auc_over_time(report_of: ReportOf) -> None:
    report = report_of("combinemel")
    told = report["survival"]
    groups = table(report, "Survival: recurrence-free interval, stages I and II")
    assert row(groups, "together") == {"risk group": "together", "patients": "50", "recurrences": str(told["events"])}
    assert f"P {told['kaplan_meier']['p']:.3f}" in groups.notes[0]
    assert groups.notes[-1] == "Patients left out: 10 of other stages."
    score = told["cox"]["hazard_ratios"][0]
    ratio = row(table(report, "Cox model with the score"), "score (0 to 1)")["hazard ratio (95 % interval)"]
    assert ratio == f"{score['ratio']:.2f} ({score['low']:.2f} to {score['high']:.2f})"
    assert table(report, "Cox model with the risk group").rows[0][0].startswith("high risk")
    areas = table(report, "Score against time")
    assert [cells[0] for cells in areas.rows[:3]] == ["AUC at 3 years", "AUC at 5 years", "AUC at 7 years"]
    first = told["dynamic_auc"][0]
    assert areas.rows[0][1] == f"{first['value']:.3f} ({first['low']:.3f} to {first['high']:.3f})"


def test_survival__what_cannot_be_computed_says_why(report_of: ReportOf) -> None:
    report = report_of("combinemel")
    told = report["survival"]
    told["cox"] = {key: value for key, value in told["cox"].items() if key != "hazard_ratios"} | {"reason": "no Cox model"}
    told["dynamic_auc"][2] = {"years": 7.0, "value": None, "low": None, "high": None, "reason": "nobody is watched for longer"}
    cox = table(report, "Cox model with the score")
    assert (cox.rows, cox.notes[-1]) == ((), "no Cox model")
    areas = table(report, "Score against time")
    assert areas.rows[2] == ("AUC at 7 years", "undefined")
    assert areas.notes == ("nobody is watched for longer",)
    empty = {"endpoint": "recurrence-free interval", "stages": ["I", "II"], "patients": 0, "events": 0, "left_out": {}}
    report["survival"] = empty | {"reason": "no patient of stage I or II"}
    assert table(report, "Survival").notes == ("no patient of stage I or II",)
    assert not [own for own in own_figures(report) if own.name == "hazard_ratio"]


def test_screening__each_arm_by_lesion_and_by_patient(report_of: ReportOf) -> None:
    report = report_of("tbp_screening")
    counts = report["screening"]["arms"]
    lesions = table(report, "Screening by lesion: 60 lesions, 10 malignant")
    assert [cells[0] for cells in lesions.rows] == ["union of the three", "risk head", "ugly duckling", "extra trees"]
    union = row(lesions, "union of the three")
    assert union["malignant lesions found"] == "8 of 10"
    assert union["sensitivity"].startswith("0.800 (")
    assert union["lesions recommended"].startswith(f"{counts['union']['recommended']} (")
    assert lesions.notes[0] == "Malignant and recommended by no arm: lesion00, lesion06."
    patients = row(table(report, "Screening by patient"), "ugly duckling")
    assert patients["patients with a recommendation"] == f"{counts['duckling']['patients']} of 30"
    assert patients["most"] == str(counts["duckling"]["most_of_a_patient"])
    further = table(report, "Further figures")
    assert not [cells for cells in further.rows if "sensitivity" in cells[0]], "an arm's figures stand twice"


def test_diagnosis__confusion_by_name_and_no_table_too_wide_for_a_page(report_of: ReportOf) -> None:
    report = report_of("pad_ufes")
    confusion = table(report, "Confusion")
    assert confusion.folded
    assert row(confusion, "MEL")["MEL"] == str(report["confusion"][2][2])
    many = [f"c{n}" for n in range(13)]
    report |= {"classes": many, "confusion": [[0] * 13] * 13, "absent_classes": ["c4"]}
    assert table(report, "Classes without a test case").notes == ("No test case of: c4.",)


def test_detail_tables__a_damaged_part_is_named_and_the_rest_is_shown(report_of: ReportOf) -> None:
    report = report_of("sddi2")
    report["folds"] = {"auroc": [0.9, 0.8], "mean": 0.85}  # an older version's: no ends
    tables = {one.title: one for one in detail_tables(benchmark("sddi2"), report)}
    assert tables["folds"].notes[0].endswith("run `panderm evaluate sddi2` again.")
    assert "Image pairs" in tables


def test_own_figures__answer_every_name_that_the_paper_states(report_of: ReportOf) -> None:
    told = {own.name for key in ("combinemel", "tbp_screening", "sddi2", "pad_ufes") for own in own_figures(report_of(key))}
    stated = {name for task in BENCHMARKS for name in task.reported}
    assert stated - told == {"points_over_next_best"}, "the paper's models beside PanDerm are not run here"
