"""A log with a local spool in front of it: what the log does not take now is kept on disk and handed on later."""
