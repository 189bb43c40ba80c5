"""What operators see: metrics, logs, traces, alerts, the admin port, and the queue of each observer."""
