"""One file a method: what it claims, because of which theorem, and when it stays silent."""
