"""Policies: values and text. No threads, no clock, no I/O."""
