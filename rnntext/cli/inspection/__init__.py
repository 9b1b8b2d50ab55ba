"""The commands of `rnntext inspect`, one thin module a view."""
