"""Readers of raw plate folders: one file an instrument, joined to wells by name and never by order."""
