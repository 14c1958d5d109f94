"""A six-channel Cell-Painting-like CRISPR screen with planted truth, drawn procedurally.

The screen is an instrument: its parameters (:class:`ScreenSettings`) come from knowledge of cells and
microscopes, and are not tuned to what a model can or cannot see. The drawing, the planted truth and the
nuisances are described in :mod:`platemae.synthetic.design`, :mod:`platemae.synthetic.cells` and
:mod:`platemae.synthetic.effects`.
"""

from platemae.synthetic.pooled import PooledSettings
from platemae.synthetic.screen import write_screen
from platemae.synthetic.settings import ScreenSettings

__all__ = ["PooledSettings", "ScreenSettings", "write_screen"]
