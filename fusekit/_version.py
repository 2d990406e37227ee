"""The version of the distribution, and the version of the plugin contract, which is numbered independently."""

__version__ = "0.1.0"

API_VERSION = "1.1"
"""Version of the contract (interfaces, hooks, component specs) that plugins are written against."""
