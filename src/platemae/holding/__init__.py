"""Who works in a results folder: one run at a time, and what becomes of the jobs of a run that was killed."""
