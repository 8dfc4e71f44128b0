"""The two tables of the paper, reproduced cell by cell."""
