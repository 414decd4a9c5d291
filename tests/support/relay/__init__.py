"""The lab's relay: what a Firezone relay of generation A, B or C does (spec connectivity 7)."""
