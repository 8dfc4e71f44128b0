"""Convex programs that Problem 1 becomes where activation patterns are fixed."""
