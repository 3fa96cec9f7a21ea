def components_needed(singular_values, n, share):
    kept = singular_values.cumsum(0) / singular_values.sum()
    return int((kept < share).sum()) + 1
