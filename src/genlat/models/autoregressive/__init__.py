"""Autoregressive models of spins ±1, with exact, normalised log q."""
