"""The embedded log: one SQLite file, shared by the processes of one host."""
