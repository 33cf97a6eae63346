"""What training and serving share: semantic IDs, the catalog's trie, the search, and the bundle between the two.

The words of the field, one per concept, used everywhere in code, API, metrics and docs:

- **item**: something that can be recommended; **catalog**: all items that can be recommended now.
- **modality**: one view of an item (text, image, its company in histories, ...), with its own quantizer and its own
  semantic ID.
- **code**: an index into a **codebook**; every **level** of a modality's residual quantizer has one codebook.
- **semantic ID**: the L codes of an item in one modality; the **ID space** is modalities x levels x codes.
- **token**: an integer that the generator sees (pad, a code of a modality and level, or a prompt).
- **trie**, **node**, **leaf**: the prefix tree of all semantic IDs in the catalog.
- **new item**: an item without an event in training, which the generator never saw.
- **dense score**: an item's inner product with the history's last state, its vector the sum of its codes' embeddings.
- **beam**: a partial semantic ID that the search keeps; **history**: the items a user met, oldest first.
- **bundle**: the exported folder that serving loads; **version**: the hash that names one state of a bundle or catalog.
- **release**: the bundle version and the catalog version that are served together; the **registry** keeps all of them.

Shapes in docstrings use N items, m modalities, L levels, M codes a level, B rows, W beams, S history tokens.
"""
