def components_needed(singular_values, n, share):
    variances = singular_values**2 / n
    return max(1, int((variances / variances.sum() >= 1 - share).sum()))
