"""Which filters go, and how the rest makes up for them."""
