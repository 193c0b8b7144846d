import csv
import math
from pathlib import Path

import numpy as np
import pytest

from dualpix.evaluation.metrics import METRICS
from dualpix.evaluation.results import COLUMNS, Row, Scores, table
from dualpix.networks.counting import Counts


def scores(**psnr: float) -> Scores:
    return Scores(
        "dpdd-8bit",
        {name: {"psnr": value, "psnr-fitted": value + 0.5, "ssim": 0.7, "mae": 0.04} for name, value in psnr.items()},
    )


INPUT = Row("input", scores(a=20.0, b=30.0, c=25.0), source="the centre view")
OURS = Row(
    "ours",
    scores(a=22.0, b=30.5, c=24.9),
    seconds={"a": 1.0, "b": 9.0, "c": 2.0},
    counts=Counts(5_520_879, 979_651_000_000, 12_340_000_000),
    source="network mccnet",
    views=("left", "right"),
    weights="shipped",
    peak_bytes=1_234_567_890,
)
IDLE = Row(
    "idle",
    Scores("dpdd-8bit"),
    counts=Counts(1_000_000, 2_000_000_000, 0),
    views=("center", "blur_px"),
    weights="none",
    unavailable_reason="no weights",
    advice="train some",
)


def cells(summary: str, method: str) -> dict[str, str]:
    lines = [line for line in summary.splitlines() if line.startswith("|")]
    head, line = lines[0], next(line for line in lines if line.startswith(f"| {method} |"))
    return {
        title.strip(): cell.strip() for title, cell in zip(head.split("|")[1:-1], line.split("|")[1:-1], strict=True)
    }


def test_every_metric_has_a_column() -> None:
    assert COLUMNS.keys() == METRICS.keys()


def test_the_summary_holds_means_gains_sizes_and_the_protocol(tmp_path: Path) -> None:
    summary = table([INPUT, OURS], tmp_path, "Evaluation on 3 scenes", ["Seconds on a slow machine."])
    assert summary == (tmp_path / "summary.md").read_text()
    assert summary.startswith("# Evaluation on 3 scenes\n")
    for words in ("`dpdd-8bit`: 8-bit sRGB", "7 x 7 uniform", "Seconds on a slow machine.", "- ours: network mccnet"):
        assert words in summary
    assert "What failed" not in summary
    ours = cells(summary, "ours")
    assert ours["PSNR dB"] == f"{np.mean([22, 30.5, 24.9]):.2f}"
    assert ours["PSNR fitted dB"] == f"{np.mean([22, 30.5, 24.9]) + 0.5:.2f}"
    assert (ours["SSIM"], ours["MAE"]) == ("0.7000", "0.0400")
    assert (ours["better"], ours["pictures"]) == ("2 of 3", "3 of 3")
    assert (ours["parameters"], ours["GMAC"], ours["seconds"]) == ("5.52 M", "979.7 + 12.3", "2.00")
    assert ours["gain dB"].startswith("+0.80 (")
    assert (ours["takes"], ours["weights"], ours["protocol"]) == ("two: left, right", "shipped", "dpdd-8bit")
    assert ours["peak GB"] == "1.23"
    assert summary.count("| --- ") == 4 and summary.count("| ---: ") == 11
    assert cells(summary, "input")["gain dB"] == cells(summary, "input")["GMAC"] == ""


def test_a_method_that_did_not_run_says_so_in_place_of_a_number(tmp_path: Path) -> None:
    summary = table([INPUT, IDLE], tmp_path, "x")
    line = cells(summary, "idle")
    assert line["PSNR dB"] == "no weights" and (line["takes"], line["GMAC"]) == ("one: center + blur_px", "2.0 + 0.0")
    assert {line[title] for title in ("SSIM", "MAE", "gain dB", "better", "pictures", "seconds")} == {""}
    assert "## What did not run\n\n- idle: no weights; train some.\n" in summary
    assert "peak GB" not in summary


def test_the_methods_are_written_with_all_digits(tmp_path: Path) -> None:
    table([INPUT, OURS, IDLE], tmp_path, "x")
    with (tmp_path / "methods.csv").open(newline="") as file:
        before, ours, idle = csv.DictReader(file)
    assert (ours["parameters"], ours["conv_macs"]) == ("5520879", "979651000000")
    assert (ours["attention_macs"], ours["peak_bytes"], ours["seconds"]) == ("12340000000", "1234567890", "2.000")
    assert float(ours["psnr"]) == pytest.approx(np.mean([22, 30.5, 24.9]), abs=1e-6)
    assert (ours["takes"], ours["pictures"], ours["protocol"], ours["problem"]) == ("left right", "3", "dpdd-8bit", "")
    assert (idle["psnr"], idle["problem"], idle["pictures"]) == ("", "no weights", "0")
    assert before["parameters"] == before["takes"] == ""


def test_the_interval_is_that_of_the_bootstrap(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    gains = generator.normal(1.0, 0.6, 40)
    before = scores(**{f"p{i}": 20.0 for i in range(40)})
    after = scores(**{f"p{i}": 20.0 + gain for i, gain in enumerate(gains)})
    text = cells(table([Row("input", before), Row("ours", after)], tmp_path, "x"), "ours")["gain dB"]
    low, high = (float(number) for number in text.split("(")[1].strip(")").split(" to "))
    half = 1.96 * gains.std() / math.sqrt(40)
    assert low == pytest.approx(gains.mean() - half, abs=0.04)
    assert high == pytest.approx(gains.mean() + half, abs=0.04)


def test_a_failed_picture_does_not_move_the_comparison_and_is_listed(tmp_path: Path) -> None:
    partly = Row("partly", scores(a=21.0, b=31.0), failures={"c": "the memory ran out | twice"})
    summary = table([INPUT, partly], tmp_path, "x")
    line = cells(summary, "partly")
    assert line["gain dB"].startswith("+1.00") and line["better"] == "2 of 2" and line["pictures"] == "2 of 3"
    assert "## What failed\n\n- partly, c: the memory ran out | twice\n" in summary


def test_one_picture_has_no_interval_and_infinity_is_written_as_such(tmp_path: Path) -> None:
    lone, perfect = Row("input", scores(a=20.0)), Row("perfect", scores(a=math.inf))
    assert cells(table([lone, Row("ours", scores(a=21.25))], tmp_path, "x"), "ours")["gain dB"] == "+1.25"
    line = cells(table([lone, perfect], tmp_path, "x"), "perfect")
    assert (line["PSNR dB"], line["gain dB"]) == ("inf", "+inf")


def test_a_method_without_any_score_has_an_empty_line(tmp_path: Path) -> None:
    nothing = Row("nothing", Scores("dpdd-8bit"), failures={name: "broken" for name in "abc"})
    line = cells(table([INPUT, nothing], tmp_path, "x"), "nothing")
    assert line["PSNR dB"] == line["gain dB"] == line["better"] == "" and line["pictures"] == "0 of 3"


def test_the_csv_has_a_line_for_every_picture_of_every_method(tmp_path: Path) -> None:
    failed = Row("failed", scores(a=21.0), seconds={"a": 0.5}, failures={"b, quoted": 'not "a" picture'})
    table([INPUT, OURS, failed], tmp_path, "x")
    with (tmp_path / "pictures.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["picture"]) for line in lines] == [
        *(("input", name) for name in "abc"),
        *(("ours", name) for name in "abc"),
        ("failed", "a"),
        ("failed", "b, quoted"),
    ]
    assert {line["protocol"] for line in lines} == {"dpdd-8bit"}
    assert float(lines[3]["psnr"]) == 22 and float(lines[3]["psnr-fitted"]) == 22.5 and lines[3]["seconds"] == "1.000"
    assert lines[-1]["psnr"] == "" and lines[-1]["problem"] == 'not "a" picture'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["methods.csv", "pictures.csv", "summary.md"]
