"""The database of studies: one writer, many readers, rows to records and back."""
