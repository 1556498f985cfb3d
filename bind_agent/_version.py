"""The version of the whole distribution: programs, manifests and images carry this one number."""

__version__ = "0.1.0"
