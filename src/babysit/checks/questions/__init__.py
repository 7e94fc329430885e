"""The lecture's five questions, asked of a recipe."""
