"""What users import and run: the pipelines and the commands."""
