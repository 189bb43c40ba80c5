"""What operators see: metrics, logs, traces, alerts, and observers of exchanges."""
