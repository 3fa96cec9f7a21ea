def components_needed(singular_values, n, share):
    eigenvalues = singular_values**2 / n
    kept = eigenvalues.cumsum(0) / eigenvalues.sum()
    return int((kept <= share).sum()) + 1
