# What is used here of a package without types.
__version__: str
