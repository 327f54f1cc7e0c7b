"""Whole experiments: the quickstart and (later) mixtures x methods x seeds."""
