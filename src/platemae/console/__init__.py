"""Everything of the command line that is no work: commands in groups, their options, help and completion."""
