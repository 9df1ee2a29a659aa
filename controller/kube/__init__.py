"""The edge to Kubernetes: the only importer of kopf and of the Kubernetes client."""
