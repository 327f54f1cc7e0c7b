"""One small file per family of input formats; each turns a raw record into canonical records."""
