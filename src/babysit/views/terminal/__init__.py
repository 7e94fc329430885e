"""Records as terminal text, with Rich."""
