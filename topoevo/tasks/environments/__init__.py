"""Environments, one simulation a file, and those of Gymnasium."""
