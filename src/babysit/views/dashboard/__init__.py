"""The dashboard: a small web server that shows a store, draws nothing it was not told, and trains nothing."""
