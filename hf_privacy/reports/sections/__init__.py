"""The parts of a privacy report: what each holds, and how it is said and drawn."""
