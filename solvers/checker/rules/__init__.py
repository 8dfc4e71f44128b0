"""The inequalities behind lower bounds, each in a file of its own."""
