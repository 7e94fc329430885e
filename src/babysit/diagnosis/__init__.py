"""The diagnosis: the catalogue of problems, the reasoning over what was found, the report and its forms."""
