"""Packages as they are installed."""

from tests.site_packages import site

__all__ = ["site"]
