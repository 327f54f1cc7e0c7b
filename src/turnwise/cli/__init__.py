"""The command line: parses, calls a stage, prints. Nothing else."""
