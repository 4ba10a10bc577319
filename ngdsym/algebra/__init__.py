"""Exact algebra: letters with assumptions, fields of exact numbers, explicit matrices."""
