"""Where studies are kept: one writer appends what was measured, many readers turn rows into records."""
