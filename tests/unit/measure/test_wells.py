"""Medians over cells, and the features that are kept."""

import numpy as np

from platemae.measure.wells import median_cell, useful_features

NAN = np.nan


def test_medians_pass_over_cells_in_which_a_feature_is_undefined():
    x_ND = np.array([[1.0, NAN, NAN], [2.0, 5.0, NAN], [9.0, np.inf, NAN]])
    np.testing.assert_array_equal(median_cell(x_ND), [2.0, 5.0, NAN])


def test_undefined_and_constant_features_are_counted_apart():
    x_WD = np.array([[1.0, 7.0, NAN, 0.1], [2.0, 7.0, 3.0, 0.1 + 1e-12], [4.0, 7.0, 3.0, 0.1]])
    kept = useful_features(x_WD)
    assert kept.mask.tolist() == [True, False, False, False]
    assert (kept.undefined, kept.constant) == (1, 2)


def test_values_beyond_float32_are_undefined():
    assert useful_features(np.array([[1e39, 1.0], [1.0, 2.0]])).mask.tolist() == [False, True]


def test_a_single_well_keeps_what_is_defined():
    assert useful_features(np.array([[1.0, NAN]])).mask.tolist() == [True, False]
