"""Normalisations, poolings and rearrangements spelled with smaller operators, and back."""
