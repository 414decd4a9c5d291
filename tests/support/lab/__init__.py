"""The lab: namespaces, links, NATs and the programs in them (design.md 5)."""
