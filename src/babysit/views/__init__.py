"""Pictures, text and pages of records; nothing here measures or trains."""
