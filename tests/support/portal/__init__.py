"""The lab's portal: the control plane of generations A, B and C, written to spec/portal.md."""
