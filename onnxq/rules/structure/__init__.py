"""Rules that recognise how tensors are rearranged, reduced and contracted."""
