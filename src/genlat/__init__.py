"""Generative samplers for lattice field theory. See `genlat --help` and the README.

The package imports nothing at this level: `genlat check` answers before JAX is loaded.
"""

__version__ = "0.1.0"
