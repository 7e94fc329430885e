"""How older stores become today's: one script for each version of the schema, run by Alembic."""
