"""Who must live or die together: the channels of a graph, in groups."""
