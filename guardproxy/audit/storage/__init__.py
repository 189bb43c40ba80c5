"""Where bytes of the log go: files on a disk, object stores, HTTP servers."""
