"""How much of a large screen the embeddings browser shows, and how much of that UMAP is fitted on."""

from __future__ import annotations

MAX_POINTS = 50_000
COORDINATE_BYTES = 5_500_000
"""Of all coordinates on the page: with the thumbnails, the plotting library and the other pages below 15 MB."""

POINT_BYTES = 2 * 2 * 2 * 4 / 3
"""Two methods, two axes, 16 bits, in base64."""

UMAP_ROWS, UMAP_ROWS_EACH = 60_000, 10_000
"""Rows that UMAP is fitted on, of all views together and of one: 10,000 take about 20 seconds on one core."""


def most_points(views: int) -> int:
    """Return how many rows of a model are drawn at most.

    Parameters
    ----------
    views
        Pictures of all models: one of the rows as they are, and one a correction.
    """
    return int(min(MAX_POINTS, COORDINATE_BYTES / POINT_BYTES / max(views, 1)))


def most_fitted(views: int) -> int:
    """Return how many rows of a view UMAP is fitted on at most."""
    return min(UMAP_ROWS_EACH, UMAP_ROWS // max(views, 1))
