"""The upgrades of older stores: one script for each version of the schema, run by Alembic."""
