"""Data sets: record format, descriptions, the input pipeline and the conversion engine."""
