"""`evenkeel demo`: the whole loop on real rows, told as it happens, observed through public interfaces only."""
