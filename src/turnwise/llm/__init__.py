"""Chat models: one small protocol, and what makes calling them reliable. The only layer that opens a connection."""
