"""What is in each well, and in each cell of a pooled plate: tables, JUMP folders, Harmony XML; one file a form.

All modules but :mod:`platemae.layouts.cells` are light, as the Snakefile asks them too.
"""
