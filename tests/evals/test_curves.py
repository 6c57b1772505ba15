import numpy as np
import pytest

from firesteel.evals.curves import cost_at, front, log_linear, sigmoid


def test_the_front_leaves_out_what_is_dearer_and_no_better():
    points = [(40.0, 0.7), (10.0, 0.5), (20.0, 0.4), (50.0, 0.7), (10.0, 0.3)]
    assert front(points) == [(10.0, 0.5), (40.0, 0.7)]


def test_cost_is_interpolated_on_the_front():
    points = [(10.0, 0.5), (20.0, 0.4), (40.0, 0.7)]
    assert cost_at(points, 0.6) == pytest.approx(25.0)
    assert cost_at(points, 0.7) == 40.0 and cost_at(points, 0.2) == 10.0
    assert cost_at(points, 0.71) is None and cost_at([], 0.1) is None


def test_a_line_in_log_compute_is_found():
    compute = np.geomspace(1e12, 1e15, 7)
    fit = log_linear(compute, 0.1 + 0.2 * np.log10(compute / 1e12))
    assert fit.parameters["slope"] == pytest.approx(0.2) and fit.r2 == pytest.approx(1)
    assert log_linear(compute[:2], [0.1, 0.2]) is None


@pytest.mark.parametrize(("start", "top", "power", "mid"), [(0.4, 0.9, 1.5, 1e13), (0.0, 0.7, 0.6, 3e13)])
def test_a_sigmoid_is_found(start, top, power, mid):
    compute = np.geomspace(1e12, 1e15, 9)
    fit = sigmoid(compute, start + (top - start) / (1 + (mid / compute) ** power), start)
    assert fit.r2 > 0.99999
    found = fit.parameters
    assert (found["A"], found["B"]) == (pytest.approx(top, abs=0.01), pytest.approx(power, rel=0.03))
    assert found["C_mid"] == pytest.approx(mid, rel=0.05)


def test_each_form_fits_its_own_data_better():
    compute = np.geomspace(1e12, 1e16, 12)
    saturated = 0.2 + 0.6 / (1 + (1e13 / compute) ** 2)
    assert sigmoid(compute, saturated, 0.2).r2 > log_linear(compute, saturated).r2 + 0.05
    assert sigmoid(compute[:3], saturated[:3]) is None


def test_a_flat_curve_explains_nothing():
    compute = np.geomspace(1e12, 1e15, 6)
    assert log_linear(compute, [0.5] * 6).r2 == 0 and sigmoid(compute, [0.5] * 6, 0.5).r2 == 0
