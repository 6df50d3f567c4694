"""Machines that carry decisions out."""
