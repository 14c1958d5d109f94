"""Batch correction: fit / transform objects that learn from control statistics alone; no torch."""
