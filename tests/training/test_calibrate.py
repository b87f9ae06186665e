"""The threshold of the surest violation: as many alarms on lawful promotion as are allowed, and no more."""

import numpy as np
import pytest

from training.calibrate import choose_any_threshold

THRESHOLDS = {"a": 0.5, "b": 0.5}


def split(near):
    """Two labels: forty violating texts that are sure, lawful promotion as sure as `near`, fifty texts that sell nothing."""
    lawful = len(near)
    nothing = np.zeros(40 + lawful + 50)
    probabilities = {"a": np.concatenate([np.full(40, 0.95), near, np.full(50, 0.9)]), "b": nothing}
    truths = {"a": np.concatenate([np.ones(40), np.zeros(lawful + 50)]), "b": nothing}
    return probabilities, truths, THRESHOLDS, np.concatenate([np.ones(40 + lawful), np.zeros(50)])


def test_as_many_lawful_texts_as_are_allowed_may_alarm():
    near = np.concatenate([np.full(94, 0.1), [0.55, 0.62, 0.66, 0.71, 0.78, 0.83]])
    for alarms, left in ((0.02, 2), (0.04, 4), (0.0, 0)):
        least = choose_any_threshold(*split(near), alarms=alarms)
        assert (near >= least).sum() == left
    assert choose_any_threshold(*split(near)) == pytest.approx(0.72)


def test_nothing_is_held_back_where_alarms_are_rare_and_alarms_below_a_label_are_none():
    assert choose_any_threshold(*split(np.full(100, 0.49))) == 0.0
    assert choose_any_threshold(*split(np.array([0.1] * 99 + [0.7]))) == 0.0
