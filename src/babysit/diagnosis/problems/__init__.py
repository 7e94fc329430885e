"""The rows of the catalogue, one module a subject; rows that explain each other stand cause first."""
