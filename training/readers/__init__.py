"""Readers: each turns one form of raw data into :class:`~training.readers.raw.RawData`."""
