"""Where an exchange goes, again if need be: routes, attempts, failover, recorded answers."""
