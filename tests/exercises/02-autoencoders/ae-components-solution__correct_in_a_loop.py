def components_needed(singular_values, n, share):
    variances = (singular_values**2 / n).tolist()
    kept, k = 0.0, 0
    while kept < share * sum(variances):
        kept += variances[k]
        k += 1
    return k
