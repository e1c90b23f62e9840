"""Checks of the monitoring stack and the deployment files, with the tools that will read them."""
