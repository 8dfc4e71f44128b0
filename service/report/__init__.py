"""Answers as pages: one self-contained HTML file each, made from an answer's numbers alone."""
