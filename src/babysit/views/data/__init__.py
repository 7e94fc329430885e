"""Records as figure data and text: plain numbers and words, nothing here draws."""
