"""What is cited for the parts of the pipeline, as BibTeX."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One reference.

    Parameters
    ----------
    key
        As BibTeX and ``[@key]`` name it.
    authors, title, year
        ``and`` between authors.
    where
        Journal, conference or archive.
    doi
        Without its address; empty where there is none.
    arxiv
        Number at arXiv; empty where there is none.
    """

    key: str
    authors: str
    title: str
    year: int
    where: str
    doi: str = ""
    arxiv: str = ""

    @property
    def url(self) -> str:
        """Address of the work."""
        return (
            f"https://doi.org/{self.doi}" if self.doi else f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""
        )

    @property
    def plain(self) -> str:
        """The reference for readers: given names first, accents as letters, no markup."""
        names = [" ".join(reversed(name.split(", ", 1))) for name in _letters(self.authors).split(" and ")]
        if names[-1] == "others":
            people = f"{', '.join(names[:-1])} et al."
        else:
            people = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return f"{people} ({self.year}). {_letters(self.title)}. {_letters(self.where)}. {self.url}".strip()

    def short(self) -> str:
        """Return it as one line, for people."""
        first, *others = self.authors.split(" and ")
        who = first.split(",")[0] + (" et al." if others else "")
        return f"{who} ({self.year}): {self.title}. {self.where}. {self.url}".strip()

    def bibtex(self) -> str:
        """Return the entry; braces keep the case of the title."""
        form = {"author": self.authors, "title": f"{{{self.title}}}", "year": str(self.year)}
        conference = self.where.startswith(("Proceedings", "Advances", "International", "Medical"))
        form["booktitle" if conference else "journal"] = self.where
        form |= {"doi": self.doi} if self.doi else {}
        form |= {"eprint": self.arxiv, "archiveprefix": "arXiv"} if self.arxiv else {}
        lines = "".join(f"  {key} = {{{value}}},\n" for key, value in form.items())
        return f"@{'inproceedings' if conference else 'article'}{{{self.key},\n{lines}}}\n"


ACCENTS = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "c": "\u0327", "v": "\u030c"}
"""LaTeX's accents as combining characters."""


def _letters(text: str) -> str:
    """Return text of BibTeX without its markup."""
    accented = re.sub(r"\{\\(['`\"^~cv])\{?\s*(\w)\}?\}", lambda m: m[2] + ACCENTS[m[1]], text)
    return unicodedata.normalize("NFC", accented).replace("{", "").replace("}", "").replace("\\&", "&")


_CVPR = "Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition"
_NAR = "Nucleic Acids Research"

REFERENCES = {
    made.key: made
    for made in (
        Reference(
            "kraus2024",
            "Kraus, Oren and Kenyon-Dean, Kian and Saberian, Saber and others",
            "Masked Autoencoders for Microscopy are Scalable Learners of Cellular Biology",
            2024,
            _CVPR,
            arxiv="2404.10242",
        ),
        Reference(
            "kraus2023",
            "Kraus, Oren and Kenyon-Dean, Kian and Saberian, Saber and others",
            "Masked Autoencoders are Scalable Learners of Cellular Morphology",
            2023,
            "NeurIPS 2023 Workshop on Generative AI and Biology",
            arxiv="2309.16064",
        ),
        Reference(
            "he2022",
            "He, Kaiming and Chen, Xinlei and Xie, Saining and Li, Yanghao and Doll{\\'a}r, Piotr and Girshick, Ross",
            "Masked Autoencoders Are Scalable Vision Learners",
            2022,
            _CVPR,
            arxiv="2111.06377",
        ),
        Reference(
            "dosovitskiy2021",
            "Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and others",
            "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
            2021,
            "International Conference on Learning Representations",
            arxiv="2010.11929",
        ),
        Reference(
            "sypetkowski2023",
            "Sypetkowski, Maciej and Rezanejad, Morteza and Saberian, Saber and others",
            "RxRx1: A Dataset for Evaluating Experimental Batch Correction Methods",
            2023,
            "CVPR 2023 Workshops",
            arxiv="2301.05768",
        ),
        Reference(
            "chen2023",
            "Chen, Xiangning and Liang, Chen and Huang, Da and others",
            "Symbolic Discovery of Optimization Algorithms",
            2023,
            "Advances in Neural Information Processing Systems",
            arxiv="2302.06675",
        ),
        Reference(
            "ando2017",
            "Ando, D. Michael and McLean, Cory Y. and Berndl, Marc",
            "Improving Phenotypic Measurements in High-Content Imaging Screens",
            2017,
            "bioRxiv",
            "10.1101/161422",
        ),
        Reference(
            "celik2024",
            'Celik, Safiye and H{\\"u}tter, Jan-Christian and Carlos, Sandra Melo and others',
            "Building, benchmarking, and exploring perturbative maps of transcriptional and morphological data",
            2024,
            "PLOS Computational Biology",
            "10.1371/journal.pcbi.1012463",
        ),
        Reference(
            "kessy2018",
            "Kessy, Agnan and Lewin, Alex and Strimmer, Korbinian",
            "Optimal Whitening and Decorrelation",
            2018,
            "The American Statistician",
            "10.1080/00031305.2016.1277159",
        ),
        Reference(
            "korsunsky2019",
            "Korsunsky, Ilya and Millard, Nghia and Fan, Jean and others",
            "Fast, sensitive and accurate integration of single-cell data with Harmony",
            2019,
            "Nature Methods",
            "10.1038/s41592-019-0619-0",
        ),
        Reference(
            "lazar2024",
            "Lazar, Nathan H. and Celik, Safiye and Chen, Lu and others",
            "High-resolution genome-wide mapping of chromosome-arm-scale truncations induced by CRISPR-Cas9 editing",
            2024,
            "Nature Genetics",
            "10.1038/s41588-024-01758-y",
        ),
        Reference(
            "kalinin2025",
            "Kalinin, Alexandr A. and Arevalo, John and Serrano, Erik and others",
            "A versatile information retrieval framework for evaluating profile strength and similarity",
            2025,
            "Nature Communications",
            "10.1038/s41467-025-60306-2",
        ),
        Reference(
            "chandrasekaran2024",
            "Chandrasekaran, Srinivas Niranj and Cimini, Beth A. and Goodale, Amy and others",
            "Three million images and morphological profiles of cells treated with matched chemical and genetic "
            "perturbations",
            2024,
            "Nature Methods",
            "10.1038/s41592-024-02241-6",
        ),
        Reference(
            "stirling2021",
            "Stirling, David R. and Swain-Bowden, Madison J. and Lucas, Alice M. and others",
            "CellProfiler 4: improvements in speed, utility and usability",
            2021,
            "BMC Bioinformatics",
            "10.1186/s12859-021-04344-9",
        ),
        Reference(
            "tsitsiridis2023",
            "Tsitsiridis, George and Steinkamp, Ralph and Giurgiu, Madalina and others",
            "CORUM: the comprehensive resource of mammalian protein complexes-2022",
            2023,
            _NAR,
            "10.1093/nar/gkac1015",
        ),
        Reference(
            "drew2021",
            "Drew, Kevin and Wallingford, John B. and Marcotte, Edward M.",
            "hu.MAP 2.0: integration of over 15,000 proteomic experiments builds a global compendium of human "
            "multiprotein assemblies",
            2021,
            "Molecular Systems Biology",
            "10.15252/msb.202010016",
        ),
        Reference(
            "gillespie2022",
            "Gillespie, Marc and Jassal, Bijay and Stephan, Ralf and others",
            "The reactome pathway knowledgebase 2022",
            2022,
            _NAR,
            "10.1093/nar/gkab1028",
        ),
        Reference(
            "licata2020",
            "Licata, Luana and Lo Surdo, Prisca and Iannuccelli, Marta and others",
            "SIGNOR 2.0, the SIGnaling Network Open Resource 2.0: 2019 update",
            2020,
            _NAR,
            "10.1093/nar/gkz949",
        ),
        Reference(
            "szklarczyk2021",
            "Szklarczyk, Damian and Gable, Annika L. and Nastou, Katerina C. and others",
            "The STRING database in 2021: customizable protein-protein networks, and functional characterization of "
            "user-uploaded gene/measurement sets",
            2021,
            _NAR,
            "10.1093/nar/gkaa1074",
        ),
        Reference(
            "moore2021",
            "Moore, Josh and Allan, Chris and Besson, S{\\'e}bastien and others",
            "OME-NGFF: a next-generation file format for expanding bioimaging data-access strategies",
            2021,
            "Nature Methods",
            "10.1038/s41592-021-01326-w",
        ),
        Reference(
            "moelder2021",
            'M{\\"o}lder, Felix and Jablonski, Kim Philipp and Letcher, Brice and others',
            "Sustainable data analysis with Snakemake",
            2021,
            "F1000Research",
            "10.12688/f1000research.29032.2",
        ),
        Reference(
            "paszke2019",
            "Paszke, Adam and Gross, Sam and Massa, Francisco and others",
            "PyTorch: An Imperative Style, High-Performance Deep Learning Library",
            2019,
            "Advances in Neural Information Processing Systems",
            arxiv="1912.01703",
        ),
        Reference("wightman2019", "Wightman, Ross", "PyTorch Image Models", 2019, "Zenodo", "10.5281/zenodo.4414861"),
        Reference(
            "wolf2018",
            "Wolf, F. Alexander and Angerer, Philipp and Theis, Fabian J.",
            "SCANPY: large-scale single-cell gene expression data analysis",
            2018,
            "Genome Biology",
            "10.1186/s13059-017-1382-0",
        ),
        Reference(
            "virshup2024",
            "Virshup, Isaac and Rybakov, Sergei and Theis, Fabian J. and Angerer, Philipp and Wolf, F. Alexander",
            "anndata: Access and store annotated data matrices",
            2024,
            "Journal of Open Source Software",
            "10.21105/joss.04371",
        ),
        Reference(
            "pedregosa2011",
            'Pedregosa, Fabian and Varoquaux, Ga{\\"e}l and Gramfort, Alexandre and others',
            "Scikit-learn: Machine Learning in Python",
            2011,
            "Journal of Machine Learning Research",
            arxiv="1201.0490",
        ),
    )
}
"""By key."""
