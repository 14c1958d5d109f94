"""The methods section of a paper, written from what finished jobs left: text, its numbers, its references."""
