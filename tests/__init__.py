"""A package, so that one of this name that another library installs does not hide it."""
