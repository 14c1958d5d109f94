"""Scores of a perturbation map against known biology, each with its interval and its chance level; no torch."""
