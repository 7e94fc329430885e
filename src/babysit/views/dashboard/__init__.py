"""The dashboard: a small web server that shows a store; it trains nothing and judges nothing."""
