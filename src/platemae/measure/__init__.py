"""Nuclei, cells and their classical features: arrays in, tables out."""
