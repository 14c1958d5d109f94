"""Benchmarks by hand: any AnnData of a map, of wells, or of both, whoever made it."""
