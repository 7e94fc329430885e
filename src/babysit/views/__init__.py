"""What people see: records become figure data, and figure data become terminal text, SVG or a report."""
