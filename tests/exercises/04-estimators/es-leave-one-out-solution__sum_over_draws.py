def leave_one_out(f, s):
    others = (f.sum(0) - f) / (len(f) - 1)
    return ((f - others) * s).sum(0)
