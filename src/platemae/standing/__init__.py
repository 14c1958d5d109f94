"""How results stand: whole or not, stale and why, kept after a change."""
