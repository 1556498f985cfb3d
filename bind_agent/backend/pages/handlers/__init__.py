"""One module per page or group of pages; each ends in `routes`."""
