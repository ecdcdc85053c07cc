"""Nodes that move, copy or repeat values without need."""
