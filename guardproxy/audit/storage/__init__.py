"""Where the audit log meets the system: files, object stores, HTTP servers."""
