"""The comparison: every row of one table trained and evaluated on the same split and the same budget.

A row (``rows.toml``) is a name and overrides over a data set's configuration. The runner gives each row and seed a
folder, shares the stages whose inputs are equal, and keeps what is finished.
"""
