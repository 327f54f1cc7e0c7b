"""Ranks, intervals, correlations: arrays in, numbers out. No files, no models, no other layer."""
