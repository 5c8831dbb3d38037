"""What `genlat` offers to programs; `genlat.<name>` loads each part on first use."""
