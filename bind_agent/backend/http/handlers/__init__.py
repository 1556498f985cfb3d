"""One module per endpoint or pair of endpoints; each ends in `routes`."""
