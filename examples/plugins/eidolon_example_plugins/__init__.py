"""Plug-ins for Eidolon, one a module."""
