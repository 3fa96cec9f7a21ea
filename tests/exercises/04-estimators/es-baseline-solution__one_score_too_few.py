def best_baseline(f, s):
    return (f * s).mean() / (s**2).mean()
