"""The console: a page on which people see, understand and operate a running device. It can be killed at any moment."""
