"""Commands to running studies: sent, received, carried out."""
