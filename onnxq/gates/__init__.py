"""Checks that guard a model."""
