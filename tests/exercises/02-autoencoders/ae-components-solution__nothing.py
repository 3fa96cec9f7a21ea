def components_needed(singular_values, n, share):
    return 0
