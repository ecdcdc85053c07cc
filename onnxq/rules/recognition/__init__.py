"""Operators that exporters spell with several smaller ones."""
