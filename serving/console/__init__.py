"""The web console: server-rendered pages under `/console`, htmx and uPlot vendored, no build step."""
