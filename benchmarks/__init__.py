"""Measured comparisons with peers, as ratios taken in one run."""
