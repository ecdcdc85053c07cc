"""Multiplications and additions by constants go into the weights around them."""
