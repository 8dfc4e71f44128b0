"""Every kind of claim, decided in a file of its own."""
