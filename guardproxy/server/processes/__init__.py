"""The processes of the proxy: one that serves, several workers, the model server."""
