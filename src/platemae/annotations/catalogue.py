"""The annotation sets that can be fetched: those that EFAAR_benchmarking ships, at one commit.

Sizes, licences and checksums were read from that commit. Of CORUM, its complexes and SIGNOR, which may not be passed on
with this package, only the first 16 digits of the checksum are known here; they are checked all the same. The origin's
licence file calls CORUM CC BY-NC and links CC BY: the stricter is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from platemae.errors import ConfigError, PlatemaeError, raise_all

ORIGIN = (
    "https://raw.githubusercontent.com/recursionpharma/EFAAR_benchmarking/"
    "2248f400630abfb711bb442be7e29a34c70d4720/efaar_benchmarking/benchmark_annotations"
)
NON_COMMERCIAL = "cc-by-nc"
"""The word that accepts licences which forbid commercial use."""


@dataclass(frozen=True)
class AnnotationSet:
    """One file of known biology.

    Parameters
    ----------
    name
        What the command line calls it.
    file
        Its name at the origin.
    sha256
        Its checksum, or the first digits that are known of it.
    licence, terms
        Name of the licence, and the address of its text.
    form
        ``pairs`` or ``clusters``.
    """

    name: str
    file: str
    sha256: str
    licence: str
    terms: str
    form: str = "pairs"

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return "NC" in self.licence


_BY = ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
_BY_NC = ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
_ZERO = ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/")

SETS = {
    made.name: made
    for made in (
        AnnotationSet("corum", "CORUM.txt", "edaafc77a184ef45", *_BY_NC),
        AnnotationSet("corum_clusters", "CORUM_clusters.tsv", "caab1d3db6fa694c", *_BY_NC, "clusters"),
        AnnotationSet("humap", "HuMAP.txt", "6d08074df77f1a7274e754bc6e5e29aa438004bec0a13cbfb934c2c81328f3c4", *_BY),
        AnnotationSet(
            "reactome", "Reactome.txt", "ed3cd0fc32d2fe3510f167e9df39668bc9637348d78787615d3f970b2b862e70", *_ZERO
        ),
        AnnotationSet("signor", "SIGNOR.txt", "00525d3a90198378", *_BY_NC),
        AnnotationSet(
            "stringdb", "StringDB.txt", "7955c846a551530c07b1eb508404cf15ef0b77ea39ad2368ed40c5c099dedb8c", *_BY
        ),
    )
}


def choose(names: list[str], accepted: list[str]) -> list[AnnotationSet]:
    """Return the sets of these names, in any case of letters.

    Raises
    ------
    ConfigError
        Naming every set that is not known, or whose licence is not accepted.
    """
    wanted = [name.lower().replace(".", "") for name in names]
    problems: list[PlatemaeError] = [
        ConfigError(f"there is no annotation set {name}", "NAME", f"one of {', '.join(SETS)}, or a file")
        for name in wanted
        if name not in SETS
    ]
    found = [SETS[name] for name in dict.fromkeys(wanted) if name in SETS]
    remedy = f"read the licence; to accept it: --accept-licence {NON_COMMERCIAL}, or annotations.accept_licences"
    problems += [
        ConfigError(f"{made.name} may not be used commercially ({made.licence})", made.terms, remedy)
        for made in found
        if made.non_commercial and NON_COMMERCIAL not in accepted
    ]
    raise_all(problems)
    return found
