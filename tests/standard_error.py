"""A mean of draws against the truth, in the unit in which it may differ."""


def standard_errors_off(samples, truth):
    """By how many standard errors the mean of samples (N, ...) misses the truth, at most."""
    error = (samples.mean(0) - truth).abs()
    # the last term: rounding, where the samples do not vary at all
    return (error / (samples.std(0) / len(samples) ** 0.5 + 1e-9)).max()
