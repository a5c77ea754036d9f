"""The world model: torch and its configuration, nothing else."""
