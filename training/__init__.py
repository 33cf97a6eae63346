"""Offline training: raw data -> embeddings -> quantizer -> semantic IDs -> generator -> bundle.

Every stage reads files that earlier stages wrote and writes a folder of its own, so any stage can be rerun alone.
"""
