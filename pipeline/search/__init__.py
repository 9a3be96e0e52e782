"""Nearest vectors of an output: 1-bit codes find candidates, the vectors themselves rank the candidates."""
