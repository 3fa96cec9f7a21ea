def components_needed(singular_values, n, share):
    eigenvalues = singular_values**2 / n
    return min(len(eigenvalues), int((eigenvalues.cumsum(0) < share).sum()) + 1)
