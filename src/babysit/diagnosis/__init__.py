"""The catalogue of problems, the reasoning over findings, and the report in its forms."""
