"""The bodies of the studies that the scripts run."""
