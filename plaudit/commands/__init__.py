"""One file a command group. Modules here import nothing heavy at the top: `plaudit --help` reads them all."""
