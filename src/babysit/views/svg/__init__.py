"""Figure data as inline SVG."""
