"""Chromosome-arm correction of proximity bias.

Cuts of CRISPR-Cas9 truncate chromosome arms in some cells, so knockouts of unrelated genes on one arm look alike (Lazar
et al., Nature Genetics 2024, doi 10.1038/s41588-024-01758-y, a "simple correction"). As there and in the authors'
package ``proxbias`` (``arm_centering``), the mean of the genes on the arm that the cells do not express (zFPKM < -3)
is subtracted from every gene on it, if there are more than 20 of them. Without expression values the mean is over all
genes of the arm: then the arm's share of true signal goes too, which the notes say.

Shapes: G rows of the map, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray
from platemae.errors import InputError, MissingError, PlatemaeError, raise_all

UNEXPRESSED = -3.0
"""zFPKM below which the cells do not express a gene."""
_SHOWN = 200
_FORM = "give a CSV with the columns gene,chromosome_arm (such as TP53,17p) and maybe zfpkm"


class Arms(NamedTuple):
    """Where genes lie.

    Parameters
    ----------
    arm
        Gene -> arm.
    unexpressed
        Genes that the cells do not express; None where the table does not tell.
    """

    arm: dict[str, str]
    unexpressed: frozenset[str] | None


def read_arms(path: Path) -> Arms:
    """Read a table of genes and chromosome arms.

    Raises
    ------
    MissingError
        If the file is not there.
    InputError
        If it is no such table, a gene lies on two arms, or an expression value is no number.
    """
    if not path.is_file():
        raise MissingError("the table of chromosome arms is not there", str(path), "correct map.chromosome_arms")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"not a table of chromosome arms: {error}", str(path), _FORM) from error
    lost = [column for column in ("gene", "chromosome_arm") if column not in table.columns]
    if lost:
        raise InputError(f"no column {' and '.join(lost)}", str(path), _FORM)
    table = table.apply(lambda column: column.str.strip())
    table = table[(table["gene"] != "") & (table["chromosome_arm"] != "")]
    counts = table.groupby("gene")["chromosome_arm"].nunique()
    torn = counts.index[counts > 1].tolist()
    problems: list[PlatemaeError] = []
    if torn:
        what = f"{len(torn)} genes lie on two arms: {', '.join(torn[:20])}"
        problems.append(InputError(what, str(path), "keep one row a gene"))
    unexpressed, more = _unexpressed(table, path)
    raise_all([*problems, *more])
    return Arms(dict(zip(table["gene"], table["chromosome_arm"], strict=True)), unexpressed)


def _unexpressed(table: pd.DataFrame, path: Path) -> tuple[frozenset[str] | None, list[PlatemaeError]]:
    """Return the genes below the cut; a gene without a value is none of them."""
    if "zfpkm" not in table.columns:
        return None, []
    values = pd.to_numeric(table["zfpkm"], errors="coerce")
    wrong = table.loc[values.isna() & ~table["zfpkm"].isin(["", "nan", "NaN", "NA"]), "gene"].tolist()
    problems: list[PlatemaeError] = []
    if wrong:
        problems.append(InputError(f"zfpkm is no number for {', '.join(wrong[:20])}", str(path), _FORM))
    return frozenset(table.loc[values < UNEXPRESSED, "gene"]), problems


def center_arms(
    map_GD: FloatArray, genes: Sequence[str], kinds: Sequence[str], arms: Arms, more_than: int = 20
) -> tuple[FloatArray, dict[str, Any]]:
    """Subtract from every gene the mean of the reference genes on its arm.

    Parameters
    ----------
    map_GD
        (G, D) rows of the map.
    genes, kinds
        Their names and kinds; rows that are no genes stay as they are.
    arms
        Where genes lie.
    more_than
        An arm with this many reference genes or fewer stays as it is.

    Returns
    -------
    corrected_GD
        A new array.
    notes
        n_genes_centered, n_arms_centered, arms_left (with their counts of reference genes), n_without_arm and their
        names, arm_reference: ``unexpressed`` or ``all genes``.
    """
    is_gene_G = np.asarray(kinds) == "gene"
    arm_G = np.array(
        [arms.arm.get(gene, "") if is_gene else "" for gene, is_gene in zip(genes, is_gene_G, strict=True)]
    )
    known = arms.unexpressed
    reference_G = (arm_G != "") & np.array([known is None or gene in known for gene in genes], dtype=bool)
    corrected_GD, centered_G = map_GD.copy(), np.zeros(len(arm_G), dtype=bool)
    left: dict[str, int] = {}
    for arm in sorted(set(arm_G) - {""}):
        on_G = arm_G == arm
        of_arm_G = on_G & reference_G
        if of_arm_G.sum() > more_than:
            corrected_GD[on_G] -= map_GD[of_arm_G].mean(axis=0)
            centered_G |= on_G
        else:
            left[str(arm)] = int(of_arm_G.sum())
    lost = [str(gene) for gene, is_gene, arm in zip(genes, is_gene_G, arm_G, strict=True) if is_gene and not arm]
    return corrected_GD, {
        "n_genes_centered": int(centered_G.sum()),
        "n_arms_centered": len(set(arm_G[centered_G])),
        "arms_left": [f"{arm} ({count} reference genes)" for arm, count in left.items()],
        "n_without_arm": len(lost),
        "without_arm": lost[:_SHOWN],
        "arm_reference": "all genes" if known is None else "unexpressed",
    }
