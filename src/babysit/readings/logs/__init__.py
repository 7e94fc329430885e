"""Printed training logs, read tolerantly: one module a way of printing, and a table of them."""
