import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftaddnas.report.numbers import cost_column, cost_title, cost_value, count, duration, metric_value, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00123, "0.00123"),
        (0.0001, "0.000100"),
        (0.0000123, "1.23e-05"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (999.6, "1000"),
        (12345.6, "12346"),
        (1.5e6, "1.50e+06"),
        (-2.5, "-2.50"),
    ],
)
def test_significant(value, text):
    assert significant(value) == text


@given(st.floats(1e-12, 1e12))
def test_significant_keeps_three_digits(value):
    assert float(significant(value)) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.7, "1.00 k"),
        (12_345, "12.3 k"),
        (4_560_000, "4.56 M"),
        (999_999, "1.00 M"),
        (3.2e9, "3.20 G"),
        (-1500, "-1.50 k"),
    ],
)
def test_count(value, text):
    assert count(value) == text


def test_costs_say_what_they_are():
    assert cost_title("energy_mj") == ("energy", "mJ")
    assert cost_title("peak_memory_bytes") == ("peak memory", "B")
    assert cost_title("num_params") == ("params", "")
    assert cost_title("area") == ("area", "")
    assert cost_value("num_params", 12_345) == "12.3 k"
    assert cost_value("energy_mj", 0.0123456) == "0.0123"


def test_a_column_has_one_notation():
    assert cost_column("energy_mj", [0.00012, 0.5]) == ["0.000120", "0.500"]
    assert cost_column("energy_mj", [0.000077, 0.00012, None, 0.0]) == ["7.70e-05", "1.20e-04", "-", "0.00e+00"]
    assert cost_column("num_adds", [0.0, 1.5e12]) == ["0", "1.50 T"]


def test_metrics():
    assert metric_value("accuracy", "", 0.97222) == "97.22 %"
    assert metric_value("accuracy", "%", 97.222) == "97.22 %"
    assert metric_value("loss", "", 1.23456) == "1.235"
    assert metric_value("bleu", "BLEU", 27.31) == "27.31 BLEU"
    assert metric_value("accuracy", "", None) == "-"


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "nan"), (float("-inf"), "-inf")])
def test_numbers_of_a_training_that_diverged(value, text):
    assert significant(value) == count(value) == metric_value("loss", "", value) == text
    assert cost_column("energy_mj", [0.5, value]) == ["0.500", text]


def test_durations():
    assert [duration(seconds) for seconds in (0.4, 59.4, 59.6, 3599, 7500)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "2 h 5 min",
    ]
