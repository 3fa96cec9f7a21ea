def best_baseline(f, s):
    return f.mean()
