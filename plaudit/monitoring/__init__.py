"""What watches the system: gauges read from the store, rules and alerts, dashboards, and the page of all metrics."""
