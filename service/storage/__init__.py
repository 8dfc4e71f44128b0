"""What must survive: SQLite in the data directory by default, PostgreSQL by its address."""
