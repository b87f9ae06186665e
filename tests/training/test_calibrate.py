"""Thresholds: what they gain and what they may cost."""

import numpy as np
import pytest

from training.calibrate import choose_any_threshold


def split(alarms):
    """Probabilities and truth of two labels: forty violating texts that are sure, `alarms` lawful ones near the border."""
    sure, near = np.full(40, 0.95), np.full(alarms, 0.6)
    nothing = np.zeros(40 + alarms)
    probabilities = {"a": np.concatenate([sure, near]), "b": nothing}
    truths = {"a": np.concatenate([np.ones(40), np.zeros(alarms)]), "b": nothing}
    return probabilities, truths, {"a": 0.5, "b": 0.5}


def test_alarms_on_lawful_texts_raise_the_threshold_above_them():
    assert choose_any_threshold(*split(5)) > 0.6


def test_no_more_is_given_up_than_the_price():
    probabilities, truths, thresholds = split(0)
    probabilities["a"][:10] = 0.7
    assert choose_any_threshold(probabilities, truths, thresholds) == pytest.approx(0.68)
    assert choose_any_threshold(probabilities, truths, thresholds, price=0.5) > 0.7
