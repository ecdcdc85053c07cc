"""Linear operators and paddings that can be one."""
