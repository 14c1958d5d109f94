"""Training: one loop, data parallel, exact after a restart. Needs torch, numpy and timm (for Lion), nothing else."""
