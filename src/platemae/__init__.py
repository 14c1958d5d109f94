"""platemae: plates in, perturbation maps out."""

__version__ = "0.1.0"
