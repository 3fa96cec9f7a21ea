def leave_one_out(f, s):
    return ((f - f.mean(0)) * s).sum(0) / (len(f) - 1)
