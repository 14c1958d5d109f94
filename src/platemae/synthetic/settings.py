"""Every parameter of the synthetic screen, and the random stream of every part of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from platemae.errors import ConfigError, raise_all

DRAWING_VERSION = 1  # part of the digest: raise it with any change of the drawn pixels

CHANNELS: tuple[tuple[str, str], ...] = (
    ("DNA", "Hoechst"),
    ("ER", "ConA"),
    ("RNA", "SYTO14"),
    ("Actin", "Phalloidin"),
    ("Mito", "MitoTracker"),
    ("Membrane", "WGA"),
)

PHENOTYPE: tuple[str, ...] = (
    "er_mesh",  # + : wider meshes of the endoplasmic reticulum
    "er_perinuclear",  # + : ER gathers at the nucleus
    "nucleoli_number",
    "nucleoli_size",
    "actin_fibres",  # + : stress fibres, - : cortex
    "actin_coherence",  # + : long parallel fibres, - : short crossing ones
    "mito_length",  # + : filaments, - : puncta
    "mito_perinuclear",  # + : mitochondria gather at the nucleus
    "golgi_dispersal",  # + : fragments over the cell, - : one compact body
    "membrane_ruffles",
    "chromatin_grain",
    "cell_elongation",
)


@dataclass(frozen=True)
class ScreenSettings:
    """Parameters of one screen; two equal settings give byte-equal screens.

    Phenotypes live in a space of ``len(PHENOTYPE)`` dimensionless parameters, in which one unit changes a length
    in the drawing by a factor of about 1.3 to 1.6. Every ``*_sd`` of a stain is a standard deviation of the natural
    logarithm; every ``*_sd`` of a phenotype is per parameter.

    Parameters
    ----------
    seed
        Source of everything random; another seed is another screen with other modules.
    plates, batches
        Plate names and the batch of each.
    rows, columns, negcon_wells, poscon_wells, fields_per_well
        Layout of every plate; the wells left by controls and treatments are empty.
    height, width, pixel_size_um
        Field size in pixels and size of a pixel in micrometres.
    modules, genes_per_module, strengths, inactive_genes
        Planted truth: modules take the strengths in turn, in blocks of equal size.
    guides_per_gene, ntc_guides
        Guides of a gene and non-targeting guides, each gene guide once a plate.
    effect_size
        Length of the phenotype vector of a gene at strength 1 with a perfect guide.
    poscon_strength
        Strength of the positive control.
    gene_deviation
        Length of a gene's own direction beside the unit direction of its module.
    efficacy_range, inert_share, inert_efficacy
        Guide efficacy is uniform in the range, but for this share of guides that are nearly inert.
    offtarget_sd, brightness_leak
        Phenotype of a guide's off-targets; phenotype's change of a channel's brightness at strength 1 (log).
    cell_sd, response_sd, well_sd, plate_sd, batch_sd
        Biological spread: of cells, of a cell's response (relative), of wells, plates and batches.
    cells_per_field, density_sd, cell_radius, nucleus_radius, size_sd, stain_sd
        Cells in a field and their spread between wells (log); radii in pixels and their spread (log); spread of
        staining between cells.
    gain_batch_sd, gain_plate_sd, gain_well_sd, vignetting_range
        Stain gain; loss of light in the corners, as a range over plates and channels.
    edge_brightness, edge_density
        Factors for wells at the border of the plate.
    blur, blur_plate_sd, blur_well_sd, defocus_share, defocus_range
        Optical blur (sigma, pixels) and its spread; share of fields out of focus and their blur.
    signal, background_range, electrons_per_count, read_noise
        In-cell mean of each channel and camera background (counts); photon noise; read noise (electrons).

    Raises
    ------
    ConfigError
        When the parameters contradict each other (all problems at once).
    """

    seed: int = 2024
    plates: tuple[str, ...] = ("P1", "P2", "P3", "P4")
    batches: tuple[str, ...] = ("B1", "B1", "B2", "B2")
    rows: int = 10
    columns: int = 15
    negcon_wells: int = 24
    poscon_wells: int = 6
    fields_per_well: int = 2
    height: int = 160
    width: int = 160
    pixel_size_um: float = 0.65
    modules: int = 12
    genes_per_module: int = 4
    strengths: tuple[float, ...] = (1.0, 0.75, 0.5, 0.35)
    inactive_genes: int = 12
    guides_per_gene: int = 2
    ntc_guides: int = 4
    effect_size: float = 3.0
    poscon_strength: float = 1.3
    gene_deviation: float = 0.4
    efficacy_range: tuple[float, float] = (0.5, 1.0)
    inert_share: float = 0.1
    inert_efficacy: float = 0.1
    offtarget_sd: float = 0.05
    brightness_leak: float = 0.015
    cell_sd: float = 0.7
    response_sd: float = 0.3
    well_sd: float = 0.12
    plate_sd: float = 0.1
    batch_sd: float = 0.2
    cells_per_field: float = 22.0
    density_sd: float = 0.1
    cell_radius: float = 14.0
    nucleus_radius: float = 6.2
    size_sd: float = 0.12
    stain_sd: float = 0.2
    gain_batch_sd: float = 0.2
    gain_plate_sd: float = 0.08
    gain_well_sd: float = 0.03
    vignetting_range: tuple[float, float] = (0.08, 0.25)
    edge_brightness: float = 0.93
    edge_density: float = 0.88
    blur: float = 0.75
    blur_plate_sd: float = 0.1
    blur_well_sd: float = 0.05
    defocus_share: float = 0.01
    defocus_range: tuple[float, float] = (3.5, 5.0)
    signal: tuple[float, ...] = (3000.0, 2000.0, 1800.0, 1900.0, 1600.0, 1700.0)
    background_range: tuple[float, float] = (200.0, 400.0)
    electrons_per_count: float = 0.5
    read_noise: float = 4.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, list):  # settings that come back from JSON
                object.__setattr__(self, name, tuple(value))
        raise_all(ConfigError(what, "synthetic screen settings", remedy) for what, remedy in self._problems())

    def _problems(self) -> list[tuple[str, str]]:
        used = self.wells_needed
        wells = self.rows * self.columns
        checks = [
            (len(set(self.plates)) == len(self.plates) > 0, "plate names are not unique", "give each plate a name"),
            (len(self.plates) == len(self.batches), "plates and batches differ in number", "give a batch a plate"),
            (used <= wells, f"{used} wells are needed, a plate has {wells}", "add rows or columns, or drop genes"),
            (self.negcon_wells > 0 and self.ntc_guides > 0, "no negative control", "set negcon_wells and ntc_guides"),
            (min(self.rows, self.columns) > 0 and self.rows <= 26, "bad plate size", "use 1 to 26 rows"),
            (self.fields_per_well > 0, "a well without a field", "set fields_per_well to 1 or more"),
            (min(self.height, self.width) >= 48, "a field is smaller than a cell", "use 48 pixels or more"),
            (len(self.signal) == len(CHANNELS), "signal needs a value a channel", f"give {len(CHANNELS)} values"),
            (self.modules % max(1, len(self.strengths)) == 0, "modules do not divide by strengths", "use a multiple"),
        ]
        return [(what, remedy) for holds, what, remedy in checks if not holds]

    @property
    def n_genes(self) -> int:
        """Number of targeted genes, active and inactive."""
        return self.modules * self.genes_per_module + self.inactive_genes

    @property
    def wells_needed(self) -> int:
        """Number of wells that controls and guides need on a plate."""
        return self.negcon_wells + self.poscon_wells + self.n_genes * self.guides_per_gene

    def digest(self) -> str:
        """Return the SHA-256 (hex) of all parameters and of the version of the drawing."""
        text = json.dumps({"drawing": DRAWING_VERSION, **asdict(self)}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def rng(self, stream: str, *index: int) -> np.random.Generator:
        """Return the generator of one named part, e.g. ``rng("field", plate, well, field)``.

        A stream depends on the seed, its name and its index alone, so no result depends on the order of drawing
        or on the number of workers.
        """
        key = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4], "little")
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(key, *index)))
